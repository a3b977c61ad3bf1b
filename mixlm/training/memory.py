"""How many samples go through the model at once, where nobody says: as many as the machine's memory has room for.

What a pass keeps for its backward pass is counted tensor by tensor on the longest sample, so the choice depends on
model, rows and machine alone, and not on what else the machine does.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch
from torch.nn import functional as F
from transformers import TrainerCallback, TrainerState, TrainingArguments

from mixlm.errors import InputError, is_out_of_memory
from mixlm.methods.base import Progress, answer_sequence
from mixlm.methods.mixing import row_generator
from mixlm.model.abilities import bare
from mixlm.model.collator import Collator, Feature
from mixlm.model.forward import is_sharded, scored_batch, scored_labels, scored_places
from mixlm.model.sizes import gib
from mixlm.model.thoughts.stop import STOP
from mixlm.processes import Processes, pick_device
from mixlm.training.options import TrainingOptions
from mixlm.training.rows.inputs import token_counts
from mixlm.training.rows.mixed_dataset import MixedDataset, as_feature
from vqvae.atomic_files import whole_file
from vqvae.errors import launched
from vqvae.training.checkpoints import CHECKPOINTS


if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHARE = 0.6  # of the memory, for training; the rest is for what else there is, and for what is not foreseen
OF_PROCESS = 2**30  # bytes of a process that has imported everything, on a machine without a GPU
_STATES = 3  # beside each weight that learns: its gradient, and Adam's two moments
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
FILE_NAME = "micro_batch.json"


@dataclass(frozen=True)
class Need:
    """Bytes that training takes on a device.

    Attributes:
        always: Of weights, gradients and the optimizer.
        each: Of a sample in a pass, the longest.
    """

    always: int
    each: int

    def of(self, samples: int) -> int:
        """Return the bytes with so many samples at once."""
        return self.always + samples * self.each


class MicroBatch(TrainerCallback):
    """How many samples go through the model at once in a run; noted beside its checkpoints before the first step.

    Args:
        path: The run folder.
        options: Say how many; where they say 0, it is as the run was begun, else as many as there is room for.

    Attributes:
        size: How many; 0 until they are settled.
        needed: Bytes that training takes with so many of the longest sample; 0: nobody measured it.
    """

    def __init__(self, path: Path, options: TrainingOptions) -> None:
        self.file, told = path / CHECKPOINTS / FILE_NAME, options.micro_batch_size
        self.samples, self.size = max(options.batch_size // Processes.current().count, 1), told
        self.needed = 0
        if not told and self.file.is_file():
            self.size = gcd(_read(self.file), self.samples)

    def settle(
        self, lm: "PreTrainedModel", collator: Collator, data: MixedDataset, bf16: bool, say: Callable[[str], None]
    ) -> int:
        """Return how many, measured if nobody knows; the same in all processes, which all have to come here."""
        if not self.size and is_sharded():
            self.size = self.samples  # no process has the model whole, and nothing can be measured
        if not self.size:
            lm.to(pick_device())
            need = measure(lm, collator, longest_features(data), bf16)
            size = choose_micro_batch(need, self.samples, int(SHARE * memory_of(lm.device)))
            self.size = int(Processes.current().agree(str(size)))
            self.needed = need.of(self.size)
            tell_choice(need, self.samples, self.size, lm.device, say)
        return self.size

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **more: Any) -> None:
        """Note the choice."""
        if state.is_world_process_zero:
            with whole_file(self.file) as file:
                json.dump({"micro_batch_size": self.size}, file)

    @contextmanager
    def within_memory(self) -> Iterator[None]:
        """Raise an ``InputError`` that says what to do, in one line, if there is not enough memory."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            less = next((size for size in range(self.size - 1, 0, -1) if self.samples % size == 0), 0)
            smaller = f"--micro-batch-size {less}, or " if less else ""
            raise InputError(
                f"out of memory with {self.size} samples at once; give {smaller}--activation-checkpointing, "
                "--lora-rank 16 or a lower --max-length"
            ) from None


def _read(file: Path) -> int:
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["micro_batch_size"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file}: damaged; give --micro-batch-size") from None


def choose_micro_batch(need: Need, samples: int, memory: int) -> int:
    """Return the largest divisor of ``samples`` that fits into ``memory`` bytes; 1 if none does.

    >>> choose_micro_batch(Need(always=10, each=5), 12, memory=30)
    4
    """
    divisors = [size for size in range(samples, 0, -1) if samples % size == 0]
    return next((size for size in divisors if need.of(size) <= memory), 1)


def measure(lm: "PreTrainedModel", collator: Collator, features: Sequence[Feature], bf16: bool = False) -> Need:
    """Find out what training a model takes.

    Args:
        lm: The model as it is trained, on the device where it is.
        collator: Lays its batches out.
        features: Long sequences of different form; the one that takes most counts.
        bf16: Whether it is trained with autocast.
    """
    weights = sum(_bytes(weight) for weight in lm.parameters())
    learned = sum(_bytes(weight) for weight in lm.parameters() if weight.requires_grad)
    each = max(kept_bytes(lm, collator([feature]), bf16) for feature in features)
    return Need(weights + _STATES * learned, each)


def kept_bytes(lm: "PreTrainedModel", batch: dict[str, torch.Tensor], bf16: bool = False) -> int:
    """Return the bytes that a pass holds when its backward pass begins, without the weights.

    The largest tensor, which are mostly the logits, is counted three times: its gradient has its size, and what that
    is computed of.
    """
    device, places = lm.device, scored_places(batch["labels"])
    held, own = {}, {weight.untyped_storage().data_ptr() for weight in (*lm.parameters(), *lm.buffers())}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        """Note a tensor by its storage, which others may share."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = {name: values.to(device) for name, values in batch.items() if name != "labels"}
    before, devices = lm.training, [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        torch.compiler.set_stance("force_eager"),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):
        outputs = scored_batch(lm.train(), places.to(device), getattr(bare(lm), STOP, None), **inputs)
        loss = F.cross_entropy(outputs["logits"].float(), scored_labels(batch["labels"]).to(device))
    lm.train(before)
    del loss
    return sum(held.values()) + 2 * max(held.values(), default=0)


def longest_features(data: MixedDataset) -> list[Feature]:
    """Return the sequences that a method makes of the longest row, from its first to its last stage, and its text."""
    method, row = data.method, data.rows[int(np.argmax(token_counts(data.rows)))]
    steps = {0, method.schedule_end(data.steps_per_epoch)}
    made = [
        method.sequence(row, Progress(step, data.steps_per_epoch), row_generator(data.seed, 0, 0))
        for step in sorted(steps)
    ]
    made.append(answer_sequence(row["prompt_ids"], [*row["trace_ids"], *row["solution_ids"]]))
    features = [as_feature(sequence, len(row["prompt_ids"]) if data.loss_on_prompt else 0) for sequence in made]
    return [feature for place, feature in enumerate(features) if feature not in features[:place]]


def memory_of(device: torch.device) -> int:
    """Return the bytes of memory of a device that a process may use: all of it, whoever else uses it now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    total = psutil.virtual_memory().total
    local = launched("LOCAL_WORLD_SIZE", 1, least=1)
    return max(min([total, *_limits()]) // local - OF_PROCESS, 0)


def free_on(device: torch.device) -> int:
    """Return the bytes that are free now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _limits() -> list[int]:
    """Return the bounds that a container sets to memory, in bytes."""
    found = []
    for file in _LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            found.append(int(Path(file).read_text()))
    return found


def tell_choice(need: Need, samples: int, chosen: int, device: torch.device, say: Callable[[str], None]) -> None:
    """Say how many samples go through the model at once, unless all do, and whether memory may not be enough."""
    memory = memory_of(device)
    free = min(free_on(device), memory)
    if chosen < samples:
        say(
            f"{chosen} of {samples} samples go through the model at once: all would take about "
            f"{gib(need.of(samples))} of {gib(memory)}; --micro-batch-size chooses another number"
        )
    if need.of(chosen) > free:
        say(
            f"warning: training takes about {gib(need.of(chosen))} of memory, and {gib(free)} are free; close "
            "other programs, or give --lora-rank, --activation-checkpointing or a lower --max-length"
        )


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
