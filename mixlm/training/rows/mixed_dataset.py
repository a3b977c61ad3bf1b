"""The training set of stage 2: every read of a row draws its mix anew."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from mixlm.data.mapped import Mapped
from mixlm.data.tables import Row
from mixlm.errors import InputError
from mixlm.methods.base import Method, Progress, Trainable
from mixlm.methods.mixing import row_generator
from mixlm.model.collator import Feature
from mixlm.model.special_tokens import IGNORED


class MixedDataset(Dataset):
    """Sequences of a method over tokenized rows, in an order and with draws that depend on the epoch alone.

    What row ``i`` becomes is a function of (seed, epoch, i): the same for any number of processes and workers, and for
    a resumed run. The epoch lies in shared memory, so that worker processes see it change.

    Args:
        rows: Tokenized rows.
        method: A bound method.
        batch_size: Samples of one optimizer step; an epoch is cut to a multiple of it.
        seed: Seed of order and draws.
        loss_on_prompt: Learn the prompt too.

    Raises:
        InputError: If there are fewer rows than one batch needs.
    """

    def __init__(
        self, rows: Sequence[Row], method: Method, batch_size: int = 1, seed: int = 0, loss_on_prompt: bool = False
    ) -> None:
        if len(rows) < batch_size:
            raise InputError(
                f"{len(rows)} training samples are fewer than one batch of {batch_size}; "
                "lower --batch-size or add samples"
            )
        self.rows, self.method, self.batch_size, self.seed = rows, method, batch_size, seed
        self.loss_on_prompt = loss_on_prompt
        self._mapped = Mapped(*([rows.data.table] if hasattr(rows, "data") else []))
        self.steps_per_epoch = len(rows) // batch_size
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._held = torch.full((), -1, dtype=torch.int64).share_memory_()
        self._places: tuple[int, np.ndarray] | None = None

    @property
    def epoch(self) -> int:
        """The pass over the rows, from 0."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Start pass ``epoch``, in this process and in its workers."""
        self._epoch.fill_(epoch)

    def hold(self, step: int) -> None:
        """Give all rows the form of optimizer step ``step`` from now on, in this process and in its workers."""
        self._held.fill_(step)

    def order(self) -> np.ndarray:
        """Return this epoch's permutation of the row numbers, ``(rows,)``."""
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.rows))

    def progress(self, index: int) -> Progress:
        """Return the progress at the step that is held, else at that in which this epoch reads row ``index``."""
        if (held := int(self._held)) >= 0:
            return Progress(held, self.steps_per_epoch)
        if self._places is None or self._places[0] != self.epoch:
            self._places = self.epoch, np.argsort(self.order())
        step = self.epoch * self.steps_per_epoch + int(self._places[1][index]) // self.batch_size
        return Progress(step, self.steps_per_epoch)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Feature:
        """Return this epoch's sequence of row ``index``: ``input_ids``, ``labels`` and ``thoughts``, each a list."""
        row = self.rows[int(index)]
        self._mapped.count_read()
        rng = row_generator(self.seed, self.epoch, int(index))
        prompt = len(row["prompt_ids"]) if self.loss_on_prompt else 0
        return as_feature(self.method.sequence(row, self.progress(int(index)), rng), prompt)


class MeasuredDataset(MixedDataset):
    """Rows to measure on, in the form of the step that is held, at first 0; the draws are always the same.

    Args:
        rows: Tokenized rows.
        method: A bound method.
        steps_per_epoch: Of the training.
        seed: Seed of the draws.
        loss_on_prompt: Measure the prompt too.
    """

    def __init__(
        self, rows: Sequence[Row], method: Method, steps_per_epoch: int, seed: int = 0, loss_on_prompt: bool = False
    ) -> None:
        super().__init__(rows, method, 1, seed, loss_on_prompt)
        self.steps_per_epoch, self.length = steps_per_epoch, len(rows)
        self.hold(0)

    def fill_up(self, multiple: int) -> None:
        """Be as long as a multiple of some rows: those beyond the last repeat the first ones, and nothing is learned.

        Several processes that share batches evenly would repeat rows themselves, and count them twice.
        """
        self.length = -(-len(self.rows) // multiple) * multiple

    def __len__(self) -> int:
        """Return the number of rows, with those of ``fill_up``."""
        return self.length

    def __getitem__(self, index: int) -> Feature:
        """Return the sequence of row ``index``; without labels where it repeats another."""
        feature = super().__getitem__(int(index) % len(self.rows))
        if index < len(self.rows):
            return feature
        length = len(feature["labels"])
        return {**feature, "labels": [IGNORED] * length, "thoughts": [False] * length}  # which have a loss, too


def as_feature(sequence: Trainable, prompt: int = 0) -> Feature:
    """Return a sequence as the collator takes it.

    Args:
        sequence: What a method made of a row.
        prompt: Tokens that it begins with and that are learned, too; the very first, which nothing predicts, never is.
    """
    labels = [*sequence.ids[:prompt], *sequence.labels[prompt:]]
    return {"input_ids": sequence.ids, "labels": [IGNORED, *labels[1:]], "thoughts": sequence.thoughts}


class EpochSampler(Sampler[int]):
    """Yields the order of a ``MixedDataset`` for its current epoch, cut to whole batches."""

    def __init__(self, dataset: MixedDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of rows of one epoch."""
        return self.dataset.steps_per_epoch * self.dataset.batch_size

    def __iter__(self) -> Iterator[int]:
        """Yield row numbers."""
        return map(int, self.dataset.order()[: len(self)])
