"""A warning, early in a training, where the model does not learn to write the latents."""

from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments

from mixlm.encoding.judging import UNLEARNED


class LatentWarning(TrainerCallback):
    """Compares latents on held-out rows with what can be hoped for, after a tenth of the training.

    It reads the first evaluation from then on that measured latents; without evaluations nothing is said. Many runs
    learn their latents late and all at once: after a warning it goes on looking, and says when they have.

    Args:
        ceiling: Share of codes that stage 1 found the likeliest, given prompt and codes before; None: not known.
        say: Told in one line if less than half of that is right.
    """

    def __init__(self, ceiling: float | None, say: Callable[[str], None]) -> None:
        self.ceiling, self.say, self.warned = ceiling, say, False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **more: Any) -> None:
        """Know what was said before, in a training that goes on."""
        for logs in state.log_history:
            self._look(logs, logs.get("step", 0), state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        *rest: Any,
        logs: dict[str, float] | None = None,
        **more: Any,
    ) -> None:
        """Look at the figures of an evaluation."""
        line = self._look(logs or {}, state.global_step, state.max_steps)
        if line and state.is_world_process_zero:
            self.say(line)

    def _look(self, logs: Mapping[str, float], step: int, steps: int) -> str | None:
        """Return what is to be said of figures after so many of all steps, if anything."""
        right, line = logs.get("eval_latent_accuracy"), None
        if right is None or self.ceiling is None or 10 * step < steps:
            return None
        learned = right >= UNLEARNED * self.ceiling
        if learned and self.warned:
            line = f"at step {step} the latents are being learned: {right:.1%} are right"
        elif not learned and not self.warned:
            line = (
                f"warning: at step {step} of {steps} the likeliest latent is right for "
                f"{right:.1%} of held-out latents, and {self.ceiling:.1%} of codes can be foretold; if that stays, "
                "try more --steps, a higher --new-token-lr, fewer codes, or those of mixlm-encode's own --objective "
                "and --align"
            )
        self.warned = True
        if learned:
            self.ceiling = None
        return line
