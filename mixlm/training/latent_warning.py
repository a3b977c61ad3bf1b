"""A warning, early in a training, where the model does not learn to write the latents."""

from collections.abc import Callable
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

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        *rest: Any,
        logs: dict[str, float] | None = None,
        **more: Any,
    ) -> None:
        """Look at the figures of an evaluation."""
        right = (logs or {}).get("eval_latent_accuracy")
        if right is None or self.ceiling is None or 10 * state.global_step < state.max_steps:
            return
        learned = right >= UNLEARNED * self.ceiling
        if state.is_world_process_zero and learned and self.warned:
            self.say(f"at step {state.global_step} the latents are being learned: {right:.1%} are right")
        elif state.is_world_process_zero and not learned and not self.warned:
            self.say(
                f"warning: at step {state.global_step} of {state.max_steps} the likeliest latent is right for "
                f"{right:.1%} of held-out latents, and {self.ceiling:.1%} of codes can be foretold; if that stays, "
                "try more --steps, a higher --new-token-lr, fewer codes, or those of mixlm-encode's own --objective "
                "and --align"
            )
        self.warned = True
        if learned:
            self.ceiling = None
