"""Tokenising many samples on all cores."""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow

from mixlm.data.reading import RawRows
from mixlm.data.samples import Sample, try_sample
from mixlm.data.tables import COLUMNS, row_table
from mixlm.data.texts.responses import compile_pattern, count_rules
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.survival import check_survival
from mixlm.encoding.tokens.sharding import Shard, Sharding
from mixlm.encoding.tokens.token_tables import TokenTable
from mixlm.errors import InputError
from mixlm.model.tokenizers import check_reopening, open_tokenizer
from vqvae.errors import launched
from vqvae.stopping import SIGNALS


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


NamedSample = tuple[int, str, Sample]  # with its number and its name in messages
ROWS_OF_A_TASK = 2000  # that one process tokenises at once
WORTH_A_PROCESS = 10_000  # rows; fewer are tokenised sooner than a process has started


class ProcessDied(InputError):
    """A process that tokenises has died."""


def open_checked(
    model: str, sharding: Sharding, options: EncodingOptions, say: Callable[[str], None]
) -> "PreTrainedTokenizerFast":
    """Open the tokenizer of ``model``, or build one, and find out whether what is to be encoded survives it.

    Args:
        model: As ``open_tokenizer`` takes it.
        sharding: Has the samples.
        options: Tell how they become text.
        say: Told if some do not survive it.

    Raises:
        InputError: As ``open_tokenizer``, ``check_reopening`` and ``check_survival``.
    """
    texts = ("".join(options.template.render(sample)) for sample in sharding.samples(options))
    tokenizer = open_tokenizer(model, texts)
    check_reopening(tokenizer)
    whole = replace(options, skip_bad_rows=True)  # others are told where their shard is read
    check_survival(tokenizer, options.template, sharding.samples(whole), say)
    return tokenizer


class TokenizerPool:
    """Tokenises shards, in order, in several processes if there is enough to do. A context manager.

    Args:
        sharding: Tells the rows of a shard.
        tokenizer: The tokenizer.
        options: Tell how samples become text, and how many processes there are beside this one.

    Attributes:
        refusal: Why rows were left out that the chat template or the tokenizer refuses, if it was a whole block of
            them: where no row is left, the mistake lies there.
    """

    def __init__(self, sharding: Sharding, tokenizer: "PreTrainedTokenizerFast", options: EncodingOptions) -> None:
        sources = sharding.sources
        self.sharding, self.tokenizer, self.template = sharding, tokenizer, options.template
        self.worker = _Worker(sources, tokenizer, options)
        most = cores() // launched("LOCAL_WORLD_SIZE", 1, least=1)
        useful = min(most, len(sources["train"]) // WORTH_A_PROCESS)
        self.processes = useful if options.workers is None else options.workers
        self.pool: ProcessPoolExecutor | None = None
        self.folder: tempfile.TemporaryDirectory | None = None
        self.refusal: str | None = None

    def __enter__(self) -> "TokenizerPool":
        """Start nothing yet: the processes start with the first table that is asked for."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the processes."""
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
            self.folder.cleanup()

    def tables(self, shards: Iterable[Shard]) -> Iterator[TokenTable]:
        """Yield the tokenized rows of each shard.

        Raises:
            InputError: If a row is malformed and malformed rows are not left out, or a process dies.
        """
        shards = [*shards]
        found = self._blocks((shard, numbers) for shard in shards for numbers in self._cut(shard))
        for shard in shards:
            blocks = [*islice(found, len(self._cut(shard)))]
            rows = pyarrow.concat_tables([block.rows for block in blocks], promote_options="default")
            rules = sum((Counter(block.rules) for block in blocks), Counter())
            self.refusal = self.refusal or next(filter(None, (block.refusal for block in blocks)), None)
            yield TokenTable(rows.combine_chunks(), sum(block.skipped for block in blocks), rules)

    def _cut(self, shard: Shard) -> list[np.ndarray]:
        """Return the row numbers of a shard block by block; without rows it is one empty block."""
        numbers = self.sharding.numbers(shard)
        return [numbers[start : start + ROWS_OF_A_TASK] for start in range(0, max(len(numbers), 1), ROWS_OF_A_TASK)]

    def _blocks(self, jobs: Iterable[tuple[Shard, np.ndarray]]) -> Iterator[TokenTable]:
        """Yield the tokenized rows of each block, no more than a few of them ahead of the reader."""
        if self.processes < 2:
            yield from (self.worker.table(shard.split, numbers) for shard, numbers in jobs)
            return
        self.pool = self.pool or self._start()
        ahead: deque[Future] = deque()
        try:
            for shard, numbers in jobs:
                ahead.append(self.pool.submit(_table, shard.split, numbers))
                if len(ahead) > 3 * self.processes:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BrokenProcessPool:
            raise ProcessDied(
                "a process that tokenises has died, perhaps for lack of memory; give --workers 0 (in a program of "
                "your own, call from below if __name__ == '__main__')"
            ) from None

    def _start(self) -> ProcessPoolExecutor:
        # not forked: a copy of a process whose threads hold locks may wait for them for ever
        context = multiprocessing.get_context("spawn")
        # through a file: what is handed over directly is read only once a process has imported everything, and this
        # one would wait for each of them in turn
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name, "worker")
        file.write_bytes(pickle.dumps(self.worker))
        return ProcessPoolExecutor(self.processes, context, _begin, (file,))


class _Worker:
    """What a process needs for tokenising."""

    def __init__(
        self,
        sources: dict[str, RawRows],
        tokenizer: "PreTrainedTokenizerFast",
        options: EncodingOptions,
    ) -> None:
        self.sources, self.tokenizer, self.template = sources, tokenizer, options.template
        self.skip, self.pattern = options.skip_bad_rows, compile_pattern(options.answer_pattern)

    def table(self, split: str, numbers: np.ndarray) -> TokenTable:
        """Tokenise rows of the source of a split."""
        read = self.sources[split].read(numbers)
        found = [(number, where, try_sample(row, where, self.skip, self.pattern)) for number, where, row in read]
        kept = [(number, where, sample) for number, where, sample in found if isinstance(sample, Sample)]
        refusal = None
        try:
            rows = self._tokenized(kept)
        except InputError as error:
            refusal = str(error) if len(kept) > 1 else None
            kept = self._without_refused(kept, error)
            rows = self._tokenized(kept)
        rules = count_rules(sample.rule for *_, sample in kept)
        return TokenTable(row_table(rows, COLUMNS), len(found) - len(kept), rules, None if kept else refusal)

    def _tokenized(self, kept: Sequence[NamedSample]) -> list[dict[str, Any]]:
        samples, numbers = [sample for *_, sample in kept], [number for number, *_ in kept]
        return tokenize_samples(self.tokenizer, self.template, samples, numbers)

    def _without_refused(self, kept: Sequence[NamedSample], error: InputError) -> list[NamedSample]:
        """Leave out the samples that cannot be tokenised, such as chats that the chat template refuses.

        Args:
            kept: Samples, of which some cannot.
            error: What one of them raised.

        Raises:
            InputError: With the row's name, if malformed rows are not left out; ``error``, if it is all of them.
        """
        refused = {}
        for one in kept:
            try:
                self._tokenized([one])
            except InputError as own:
                refused[one[0]] = str(own)
        if len(refused) == len(kept) > 1 and not self.skip:
            raise error
        if refused and not self.skip:
            raise InputError(f"{next(iter(refused.values()))}, or leave such rows out with --skip-bad-rows")
        return [one for one in kept if one[0] not in refused]


_worker: _Worker | None = None


def _begin(file: Path) -> None:
    global _worker
    for signum in set(SIGNALS) - {signal.SIGTERM}:
        signal.signal(signum, signal.SIG_IGN)  # the process that asked stops the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core each
    _worker = pickle.loads(file.read_bytes())


def _end_with_parent() -> None:
    """Wait for the end of the process that asked, however it comes, and end with it."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _table(split: str, numbers: np.ndarray) -> TokenTable:
    return _worker.table(split, numbers)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
