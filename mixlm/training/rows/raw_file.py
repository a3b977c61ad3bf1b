"""A raw file as rows to train on: tokenised in several processes, mapped from the cache, the same as ever."""

import atexit
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow

from mixlm.data.chat.rendering import dated
from mixlm.data.tables import in_memory
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.survival import check_survival
from mixlm.encoding.tokens.sharding import Sharding
from mixlm.encoding.tokens.token_cache import Source, cache_entry, reading_identity, source_of, stamp_of
from mixlm.encoding.tokens.token_store import TokenStore
from mixlm.encoding.tokens.token_tables import TokenTable, TokenTables, tell_answers
from mixlm.encoding.tokens.tokenizer_pool import WORTH_A_PROCESS, ProcessDied, TokenizerPool
from mixlm.errors import InputError
from mixlm.model.loading import is_scratch, read_scratch
from mixlm.model.tokenizers import open_tokenizer, tokenizer_digest
from mixlm.training.rows.data import TrainingData
from vqvae.advance import Advance


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast


SMALL_FILE = 2**25  # bytes; of one with few rows, too, the rows stay in memory
_ADVICE = ", or leave such rows out with --skip-bad-rows"  # which this command does not have


def read_raw_file(source: str, model: str, reading: EncodingOptions, say: Callable[[str], None]) -> TrainingData:
    """Tokenise a raw file and its validation file, or find them as an earlier command did.

    Args:
        source: Anything that ``mixlm.data.reading.open_raw`` opens.
        model: Names the tokenizer; one from scratch builds it from the samples.
        reading: Tell how rows become text, and name the validation file.
        say: Told where many rows are kept, how answers were found, and of rows that do not survive the tokenizer.

    Raises:
        InputError: If a row is malformed, a file holds none, or no answer survives the tokenizer.
    """
    with _own_remedies():
        sharding = Sharding(source, reading)
        shelf = _Shelf(sharding, reading, say)
        tokenizer = shelf.tokenizer(model, reading)
        template = dated(reading.template, tokenizer)
        reading = replace(reading, template=template)
        check_survival(tokenizer, template, sharding.samples(replace(reading, skip_bad_rows=True)), say)
        with TokenizerPool(sharding, tokenizer, reading) as pool:
            train, valid = shelf.rows(pool)
        return TrainingData(train, valid, tokenizer, template, None, reading.answer_pattern, sharding.check(reading))


@contextmanager
def _own_remedies() -> Iterator[None]:
    """Leave out of errors what they advise that only ``mixlm-encode`` can be told."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).removesuffix(_ADVICE)) from None


class _Shelf:
    """Where the rows of one command come from: few of them from memory, many from the cache."""

    def __init__(self, sharding: Sharding, reading: EncodingOptions, say: Callable[[str], None]) -> None:
        self.sharding, self.say = sharding, say
        names = {"train": sharding.traces, **({"valid": reading.valid} if sharding.own_valid else {})}
        self.names, self.shards = names, {split: sharding.shards(split) for split in names}
        self.keeps = any(_are_many(name, len(sharding.sources[split])) for split, name in names.items())
        self.sources: dict[str, Source] = {}
        if self.keeps:
            self.sources = {split: source_of(name, sharding.sources[split]) for split, name in names.items()}
            self.identity = reading_identity(sharding, self.sources, reading)

    def tokenizer(self, model: str, reading: EncodingOptions) -> "PreTrainedTokenizerFast":
        """Open the tokenizer of ``model``; what one from scratch learns of many rows is kept."""
        if self.keeps and is_scratch(model):
            with suppress(OSError), cache_entry({**self.identity, "recipe": read_scratch(model)}) as folder:
                return open_tokenizer(model, self._texts(reading), folder / "tokenizer.json")
        return open_tokenizer(model, self._texts(reading))

    def _texts(self, reading: EncodingOptions) -> Iterator[str]:
        return ("".join(reading.template.render(sample)) for sample in self.sharding.samples(reading))

    def rows(self, pool: TokenizerPool) -> "list[Dataset | None]":
        """Return the rows of each split, and say how the answers of the first were found."""
        if not self.keeps:
            return self._opened(pool, _joined)
        identity = {
            **self.identity,
            "tokenizer": tokenizer_digest(pool.tokenizer),
            "template": pool.template.to_dict(),
        }
        try:
            with cache_entry(identity) as folder:
                return self._mapped(TokenStore(folder, identity), pool)
        except OSError as error:
            self.say(f"note: tokenized rows are not kept for the next run ({error.strerror or error})")
        folder = TemporaryDirectory(prefix="mixlm-")
        atexit.register(folder.cleanup)
        return self._mapped(TokenStore(Path(folder.name), identity), pool)

    def _mapped(self, store: TokenStore, pool: TokenizerPool) -> "list[Dataset | None]":
        """Fill a store with what it lacks, and map its rows."""
        shards = [shard for own in self.shards.values() for shard in own]
        sizes = {shard: len(self.sharding.numbers(shard)) for shard in shards}
        told = _told_once(f"tokenising {sum(sizes.values())} rows, kept for the next run in {store.folder}", self.say)
        try:
            store.fill(pool, sizes, told)
        except ProcessDied:
            self.say("note: a process that tokenises has died, perhaps for lack of memory; going on without others")
            pool.processes = 0
            store.fill(pool, sizes, told)
        self._require_unchanged(store)
        return self._opened(store, lambda split, _: _from_files(map(store.file, self.shards[split])))

    def _opened(
        self, tables: TokenTables, dataset: Callable[[str, list[TokenTable]], "Dataset"]
    ) -> "list[Dataset | None]":
        """Return the rows of each split, as ``dataset`` makes them of its tables."""
        found = {split: [*tables.tables(shards)] for split, shards in self.shards.items()}
        rows = {split: dataset(split, own) for split, own in found.items()}
        for split, own in rows.items():
            if not len(own):
                raise InputError(f"{self.names[split]}: holds no samples")
        tell_answers(found["train"], self.say)
        return [rows["train"], rows.get("valid")]

    def _require_unchanged(self, store: TokenStore) -> None:
        """Raise an ``InputError`` if somebody has changed a file while it was read; what was made of it goes."""
        for split, name in self.names.items():
            if self.sources[split].stamp != stamp_of(name):
                store.discard()
                raise InputError(f"{name}: has changed while it was read; give the command again")


def _are_many(name: str, rows: int) -> bool:
    """Tell whether rows are so many that they are worth a place in the cache."""
    path = Path(name)
    return rows >= WORTH_A_PROCESS or (path.is_file() and path.stat().st_size >= SMALL_FILE)


def _joined(split: str, tables: list[TokenTable]) -> "Dataset":
    return in_memory(pyarrow.concat_tables([table.rows for table in tables], promote_options="default"))


def _from_files(files: Iterable[Path]) -> "Dataset":
    """Return the rows of files, mapped; what a file lacks of the columns of others is null there."""
    from datasets import Dataset, concatenate_datasets

    return concatenate_datasets([Dataset.from_file(str(file)) for file in files])


def _told_once(line: str, say: Callable[[str], None]) -> Advance:
    """Return a function that says a line when it is first called."""
    waiting = [line]

    def advance(*progress: object) -> None:
        """Take note that work has begun."""
        while waiting:
            say(waiting.pop())

    return advance
