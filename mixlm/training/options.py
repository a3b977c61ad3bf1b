"""What a training run can be told."""

import sys
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Literal

from mixlm.data.samples import CheckName
from mixlm.data.template import Template
from mixlm.data.texts.responses import compile_pattern
from mixlm.errors import InputError
from mixlm.evaluation.checks import require_check
from mixlm.model.loading import is_scratch
from vqvae.errors import MOST_WORKERS, require_between, require_rate
from vqvae.option_types import require_types
from vqvae.options import SAVE_EVERY, SaveEvery


MOST_EPOCHS = 1e6  # more than anyone trains
SCRATCH_RATE, LORA_RATE, TUNING_RATE = 1e-3, 1e-4, 1e-5  # the last is that of Token Assorted, appendix A
ROW_RATE = 1e-3  # least of new rows
# those that change nothing of what is trained but for rounding; fewer samples at once need less memory
UNDECISIVE = ("save_every", "log_every", "workers", "report_to", "micro_batch_size")
LEAST = {"batch_size": 1, "log_every": 1}
_RANGES = {name: (least,) for name, least in LEAST.items()} | {
    "adam_beta2": (0, 1),
    "lora_rank": (0, 2**14),
    "workers": (0, MOST_WORKERS),
}


@dataclass(frozen=True)
class TrainingOptions:
    """Options of ``train``.

    Attributes:
        method: Key of ``mixlm.methods.METHODS``.
        method_options: The method's own options.
        template: Renders a raw file; an encoded dataset brings its own.
        valid: File of validation rows, for a raw file.
        answer_pattern: Regular expression that finds the answer in a response, in place of the marks that are known;
            for a raw file.
        learning_rate: Peak rate of everything but new rows. None: as the model asks for, 1e-3 from scratch, 1e-4 of a
            LoRA adapter, else 1e-5, as in Token Assorted.
        new_token_lr: Peak rate of new vocabulary rows; None: the greater of ``learning_rate`` and 1e-3. A rate of
            1e-5, usual for fine-tuning, hardly moves a row from its random start.
        new_token_noise: New rows start at the mean of the old ones plus noise of so many standard deviations of those.
        new_token_start: "mean"; "text": latents start at the rows of the text they stand for in the training rows
            (``mixlm.model.vocabulary.start_from_text``); "codes": they lie to each other as the codebook vectors of
            stage 1 do (``start_from_codes``). Either with a tenth of the noise. None: "text" in a trained model, whose
            rows mean something, "mean" from scratch.
        epochs: Passes over the training rows, where ``steps`` is 0.
        steps: Optimizer steps; 0: as ``epochs`` says.
        batch_size: Samples of one optimizer step over all devices, whatever their lengths.
        micro_batch_size: Samples of one forward pass on one device; 0: as many of the batch as its memory has room for
            (``mixlm.training.memory``).
        warmup_steps: Steps of linear warm-up.
        scheduler: Schedule of the rate after it, by transformers' name; "warmup_stable_decay" keeps it, and
            falls over the last fifth of the steps.
        weight_decay: Of AdamW.
        adam_beta2: Of AdamW.
        max_grad_norm: Gradients are clipped to this norm.
        bf16: Autocast to bfloat16; weights and optimizer stay fp32.
        lora_rank: Rank of a LoRA adapter; 0: train all weights.
        loss_on_prompt: Learn the prompt too.
        pack: Several sequences a row.
        max_row_tokens: Longest packed row; 0: the longest sequence of the batch.
        max_length: Leave out samples longer than this, and in any case than the model's context; 0: than that alone.
        activation_checkpointing: Recompute activations in the backward pass to save memory.
        attention: How attention is computed, by transformers' name: "sdpa", "flash_attention_2", "flex_attention" ..;
            None: as transformers chooses.
        compile: Compile the model's blocks with torch; the first steps wait for it.
        seed: Of the start of new rows, order and draws.
        workers: Processes that read and mix ahead.
        log_every: Steps between log lines.
        save_every: How often a checkpoint is written, from which an interrupted run goes on: a number of steps,
            minutes such as "2m", or "none"; see ``vqvae.options.SaveEvery``.
        eval_every: Steps between evaluations; 0: none, unless ``select`` needs them.
        select: Which checkpoint is kept: "last", or the best on the validation rows by "loss" or "accuracy".
        check: How answers are compared, in that accuracy and where the run is evaluated: "exact", "number", "math" or
            "maze"; None: as the data mean it.
        report_to: Experiment tracker: "none", "tensorboard", "trackio", "wandb".
        save_dtype: Of the saved weights.
    """

    method: str
    method_options: dict[str, Any] = field(default_factory=dict)
    template: Template = field(default_factory=Template)
    valid: str | None = None
    answer_pattern: str | None = None
    learning_rate: float | None = None
    new_token_lr: float | None = None
    new_token_noise: float = 1.0
    new_token_start: Literal["mean", "text", "codes"] | None = None
    epochs: float = 1.0
    steps: int = 0
    batch_size: int = 32
    micro_batch_size: int = 0
    warmup_steps: int = 0
    scheduler: Literal["cosine", "linear", "constant_with_warmup", "warmup_stable_decay"] = "cosine"
    weight_decay: float = 0.01
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    bf16: bool = False
    lora_rank: int = 0
    loss_on_prompt: bool = False
    pack: bool = True
    max_row_tokens: int = 0
    max_length: int = 0
    activation_checkpointing: bool = False
    attention: str | None = None
    compile: bool = False
    seed: int = 0
    workers: int = 0
    log_every: int = 10
    save_every: int | str = SAVE_EVERY
    eval_every: int = 0
    select: Literal["last", "loss", "accuracy"] = "last"
    check: CheckName | None = None
    report_to: Literal["none", "tensorboard", "trackio", "wandb"] = "none"
    save_dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        """Check what no library below would explain.

        Raises:
            InputError: If a value is none of its option's, batch sizes do not divide, a tracker or a check is not
                installed, flash attention is to run in fp32, or there are no evaluated checkpoints to select from.
        """
        self._check_values()
        if not 0 < self.epochs < MOST_EPOCHS:
            raise InputError(f"--epochs {self.epochs}: give a number above 0 and below {MOST_EPOCHS:g}, or --steps")
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise InputError(
                f"--batch-size {self.batch_size} is no multiple of --micro-batch-size {self.micro_batch_size}"
            )
        if self.report_to != "none" and find_spec(self.report_to) is None:
            raise InputError(f"--report-to {self.report_to}: not installed; pip install {self.report_to}")
        if self.flash and not self.bf16:
            raise InputError(f"--attention {self.attention}: computes in 16 bits only; add --bf16")
        if self.select != "last" and not self.eval_every:
            raise InputError(f"--select {self.select} needs --eval-every STEPS, to have checkpoints to choose from")
        if self.select != "last" and SaveEvery.read(self.save_every).steps % self.eval_every:
            raise InputError(
                f"--save-every {self.save_every} is no multiple of --eval-every {self.eval_every}, and "
                f"--select {self.select} chooses among checkpoints that were evaluated; change one of the two"
            )
        SaveEvery.read(self.save_every)
        compile_pattern(self.answer_pattern)
        if self.check and self.select == "accuracy":
            require_check(self.check)

    def _check_values(self) -> None:
        """Check every option by itself."""
        require_types(self)
        for name, bounds in _RANGES.items():
            require_between(name, getattr(self, name), *bounds)
        if self.learning_rate is not None:
            require_rate("learning_rate", self.learning_rate)
        require_rate("new_token_lr", self.row_rate)

    def for_model(self, model: str) -> "TrainingOptions":
        """Return options with what a model of this name asks for where nothing was given.

        That is the learning rate, and where latents start: at their text in a trained model, if they stand for any.
        """
        from mixlm.methods import METHODS

        rate, start = self.learning_rate, self.new_token_start
        if rate is None:
            rate = SCRATCH_RATE if is_scratch(model) else LORA_RATE if self.lora_rank else TUNING_RATE
        if start is None:
            speaks = self.method in METHODS and METHODS[self.method].has_text()
            start = "text" if speaks and not is_scratch(model) else "mean"
        return replace(self, learning_rate=rate, new_token_start=start)

    @property
    def row_rate(self) -> float:
        """Peak rate of new vocabulary rows."""
        return max(self.learning_rate or 0.0, ROW_RATE) if self.new_token_lr is None else self.new_token_lr

    @property
    def flash(self) -> bool:
        """Whether attention is one of the flash kernels."""
        return "flash" in (self.attention or "")

    @property
    def row_tokens(self) -> int | None:
        """Longest packed row; None: the longest sequence of the batch.

        Flash attention tells the samples of a row apart only where there is a single row, so all have to stand in it.
        """
        return sys.maxsize if self.flash else self.max_row_tokens or None

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the number of optimizer steps, given those of one pass over the rows."""
        return self.steps or max(round(self.epochs * steps_per_epoch), 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain values; the template, which a run holds beside them, is left out."""
        return {name: value for name, value in asdict(self).items() if name != "template"}
