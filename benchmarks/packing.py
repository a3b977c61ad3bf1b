"""How fast stage 2 trains against TRL's SFTTrainer with packing: whole training loops.

Both trainers get the same 192 sequences, as long as GSM8K's (see ``training``), with labels on all but the prompts,
the same random model in the same precision, AdamW, and about 32 sequences an optimizer step. What is timed is
``Trainer.train`` from its first step to its last: reading, laying out, forward, backward, optimizer, and what each
logs. TRL packs the samples once, before that, into rows as long as the longest one. It lays the rows of a batch end
to end, which pays where attention skips what lies between sequences, as FlashAttention does. On a CPU, where a mask
over all of them is computed, it gets one row at a time and accumulates gradients; on a GPU both ways are measured,
and the faster counts.
"""

import contextlib
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from transformers import TrainerCallback

from benchmarks.measuring import Figure, in_turns, wait
from benchmarks.training import BATCH, GSM8K, SOLUTION, SPECIAL, random_model, random_rows, sequences
from mixlm.data.template import Template
from mixlm.model.collator import Collator
from mixlm.model.tokenizers import build_tokenizer
from mixlm.run import Run
from mixlm.training.new_rows import NewRows
from mixlm.training.options import TrainingOptions
from mixlm.training.schedule import Schedule
from mixlm.training.trainer import MixedTrainer, trainer_arguments


SAMPLES = (GSM8K * 2)[: 6 * BATCH]  # whole batches, so that both trainers read all of them
LONGEST = max(map(sum, GSM8K)) + SOLUTION + 1


class Clock(TrainerCallback):
    """Times a training from its first step to its last."""

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Start."""
        self.start = time.perf_counter()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop."""
        wait()
        self.seconds = time.perf_counter() - self.start


def ours(samples: list[dict[str, list[int]]], out: Path) -> MixedTrainer:
    """Return the trainer of stage 2, on text alone."""
    data = sequences(samples, "cot")
    arguments = trainer_arguments(out, data.steps_per_epoch, TrainingOptions("cot", batch_size=BATCH))
    schedule = Schedule(data, None, Run(out, "cot", Template(), SPECIAL))
    model, collator = random_model(), Collator(pack=True)
    rows = NewRows(model, [], 0.0)
    return MixedTrainer(schedule, rows, model=model, args=arguments, data_collator=collator, advance=None)


def theirs(samples: list[dict[str, list[int]]], out: Path, rows_at_once: int) -> Any:
    """Return TRL's trainer with packing.

    Args:
        samples: What to train on.
        out: Its folder.
        rows_at_once: Packed rows of one forward pass; gradients are accumulated up to a batch.
    """
    from trl import SFTConfig, SFTTrainer

    table = datasets.Dataset.from_list(
        [
            {
                "input_ids": row["prompt_ids"] + row["trace_ids"] + row["solution_ids"],
                "completion_mask": [0] * len(row["prompt_ids"]) + [1] * len(row["trace_ids"] + row["solution_ids"]),
            }
            for row in samples
        ]
    )
    # A batch is as many rows as hold 32 samples.
    batch = round(BATCH * sum(map(len, table["input_ids"])) / len(table) / LONGEST)
    arguments = SFTConfig(
        output_dir=str(out),
        packing=True,
        max_length=LONGEST,
        per_device_train_batch_size=rows_at_once,
        gradient_accumulation_steps=max(batch // rows_at_once, 1),
        num_train_epochs=1,
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        learning_rate=1e-5,
        weight_decay=0.01,
        lr_scheduler_type="cosine",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.accelerator.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    tokenizer = build_tokenizer(["a"], vocab_size=300)
    return SFTTrainer(random_model(), arguments, train_dataset=table, processing_class=tokenizer)


def measured(trainer: Any, useful: int) -> Callable[[], float]:
    """Return a function that trains once over all samples and returns useful tokens a second."""
    clock = Clock()
    trainer.add_callback(clock)

    def run() -> float:
        with contextlib.redirect_stdout(None):
            trainer.train()
        return useful / clock.seconds

    return run


def figures(turns: int) -> Iterator[Figure]:
    """Measure both trainers; nothing where TRL is not installed.

    Args:
        turns: Repeats of every measurement; a fifth of them, for each is a training.
    """
    if find_spec("trl") is None:
        print("training: against TRL left out; pip install trl")
        return
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    samples = random_rows(SAMPLES)
    useful = sum(prompt + trace + SOLUTION + 1 for prompt, trace in SAMPLES)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixed = measured(ours(samples, Path(folder, "ours")), useful)
        counts = (1, 16) if torch.cuda.is_available() else (1,)
        packed = [measured(theirs(samples, Path(folder, "theirs"), count), useful) for count in counts]
        few = max(turns // 5, 2)
        one, other, ratio = in_turns(lambda: (mixed(), max(run() for run in packed)), few, warm_ups=1)
    detail = f"{one:.0f} over {other:.0f} useful tokens/s"
    yield Figure("training: over TRL's SFTTrainer with packing", ratio, ">= 1", detail, few)
