"""Controls: assorted with other codes than the VQ-VAE's, to tell whether the content of a code matters.

A control recodes the ``codes`` column; the sequence is then built as ever, with the same draws of m.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from mixlm.data.tables import Row, in_turn, replaced_tokens
from mixlm.methods.assorted import Assorted
from mixlm.methods.base import Spans, Trainable, answer_sequence


MOST_TRACES = 100_000  # in which frequent strings are looked for; more would not change which they are


@dataclass
class Control(Assorted):
    """A recoding whose codes stage 1 cannot read; it keeps the seed of the run."""

    source: ClassVar[str] = "control of this project"
    codes_mean_chunks: ClassVar[bool] = False

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Fix the seed of the codes."""
        state = {**super().fit(rows, seed), "seed": seed}
        self.restore(state)
        return state

    def restore(self, state: Mapping[str, Any]) -> "Control":
        """Take the seed of the codes."""
        super().restore(state)
        self.seed = state["seed"]
        return self


@dataclass
class RandomCodes(Control):
    """Codes drawn uniformly, independent for each sample and position, fixed once by the seed of the run."""

    name: ClassVar[str] = "random-codes"

    def recode(self, rows: Iterable[Row]) -> Iterator[Sequence[int]]:
        """Yield as many random codes for each row as its trace has."""
        size = self.special.codebook_size
        for row in rows:
            yield np.random.default_rng([self.seed, row["row"]]).integers(size, size=len(row["codes"])).tolist()


@dataclass
class ShuffledCodes(Control):
    """All code slots of the data in one fixed random order: a code stays as frequent as it is, its place is lost."""

    name: ClassVar[str] = "shuffled-codes"

    def recode(self, rows: Iterable[Row]) -> Iterator[Sequence[int]]:
        """Yield the codes of all ``rows``, permuted among them; every row keeps its number of codes."""
        codes, counts = array("q"), array("q")
        for row in rows:
            codes.extend(row["codes"])
            counts.append(len(row["codes"]))
        joined = np.random.default_rng(self.seed).permutation(np.frombuffer(codes, np.int64))
        start = 0
        for count in counts:
            yield joined[start : start + count].tolist()
            start += count


@dataclass
class HashedCodes(Control):
    """Every code is a hash of the ids it stands for, mod K: the same text has the same code, alike texts have not."""

    name: ClassVar[str] = "hashed-codes"

    def recode(self, rows: Iterable[Row]) -> Iterator[Sequence[int]]:
        """Yield the hash of the trace tokens of each code."""
        return ([self.hash(ids) for _, ids in self.chunks(row)] for row in rows)

    def hash(self, ids: Sequence[int]) -> int:
        """Return the code of a string of token ids, the same in every process and on every machine."""
        digest = hashlib.blake2b(np.asarray(ids, dtype="<i8").tobytes(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % self.special.codebook_size


@dataclass
class MatchedPauses(Control):
    """Every code is 0: as many positions as with real codes, without any content. The model writes them itself."""

    name: ClassVar[str] = "matched-pauses"

    def recode(self, rows: Iterable[Row]) -> Iterator[Sequence[int]]:
        """Yield zeros."""
        return ([0] * len(row["codes"]) for row in rows)


@dataclass
class DropPrefix(Control):
    """The first m trace tokens are missing, and nothing stands for them: no latents, no delimiters."""

    name: ClassVar[str] = "drop-prefix"
    spans: ClassVar[Spans] = "none"

    def tokens(self, codebook_size: int) -> list[str]:
        """Return no tokens."""
        return []

    def sequence_with(self, row: Row, replaced: int) -> Trainable:
        """Return P, the trace after its first ``replaced`` codes' tokens, S."""
        rest = row["trace_ids"][replaced_tokens(row, replaced) :]
        return answer_sequence(row["prompt_ids"], [*rest, *row["solution_ids"]])

    def extra_tokens(self, row: Row) -> int:
        """Return 0."""
        return 0

    def latents_of(self, row: Row) -> int:
        """Return 0."""
        return 0


@dataclass
class FrequentNgrams(Control):
    """K frequent strings of trace tokens, found by greedy merging, replace their text in the first m tokens.

    Is a latent more than a new word for a frequent string? Tokens of the prefix that no string covers stay text,
    within the delimiters: P, <boLatent>, the compressed c_1 .. c_m, <eoLatent>, c_(m+1) .., S.
    """

    name: ClassVar[str] = "frequent-ngrams"
    spans: ClassVar[Spans] = "mixed"

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Find the K strings in the traces of ``rows``; code i stands for the i-th."""
        strings = merge_strings(_Traces(rows), self.special.codebook_size)
        state = {**Assorted.fit(self, rows, seed), "strings": strings}
        self.restore(state)
        return state

    def restore(self, state: Mapping[str, Any]) -> "FrequentNgrams":
        """Take the strings."""
        Assorted.restore(self, state)
        self.strings = {tuple(string): code for code, string in enumerate(state["strings"])}
        self.longest = max(map(len, self.strings), default=0)
        return self

    def compress(self, ids: Sequence[int]) -> list[int]:
        """Replace strings in ``ids`` by the ids of their latents, the longest that fits first, from left to right."""
        compressed, place = [], 0
        while place < len(ids):
            for length in range(min(self.longest, len(ids) - place), 1, -1):
                code = self.strings.get(tuple(ids[place : place + length]))
                if code is not None:
                    compressed.append(self.special.latent(code))
                    place += length
                    break
            else:
                compressed.append(ids[place])
                place += 1
        return compressed

    def chunks(self, row: Row) -> list[tuple[int, Sequence[int]]]:
        """Return the codes of the strings found in the tokens that the row's codes stand for, with the strings."""
        strings = list(self.strings)
        prefix = self.compress(row["trace_ids"][: replaced_tokens(row, len(row["codes"]))])
        codes = [self.special.code(token) for token in prefix if self.special.is_latent(token)]
        return [(code, list(strings[code])) for code in codes]

    def sequence_with(self, row: Row, replaced: int) -> Trainable:
        """Return the sequence in which the tokens of the first ``replaced`` codes are compressed."""
        length = replaced_tokens(row, replaced)
        prefix = self.compress(row["trace_ids"][:length])
        span = [self.special.bo_latent, *prefix, self.special.eo_latent] if replaced else []
        return answer_sequence(row["prompt_ids"], [*span, *row["trace_ids"][length:], *row["solution_ids"]])

    def extra_tokens(self, row: Row) -> int:
        """Return the delimiters: nothing in between need be shorter than its text."""
        return 2

    def latents_of(self, row: Row) -> int:
        """Return how many strings are found in the tokens that the row's codes stand for."""
        return len(self.chunks(row))


class _Traces:
    """The traces of rows, read anew each time that they are gone through."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Sequence[int]]:
        """Yield the ids of each."""
        return (row["trace_ids"] for row in in_turn(self.rows, ["trace_ids"]))


def merge_strings(traces: Iterable[Sequence[int]], count: int) -> list[list[int]]:
    """Find frequent strings of tokens by greedy merging of the most frequent adjacent pair (byte-pair encoding).

    Args:
        traces: Token ids; gone through twice, the first ``MOST_TRACES``.
        count: Number of strings, K.

    Returns:
        At most ``count`` strings of two or more token ids, in the order in which they were merged.
    """
    from tokenizers import Tokenizer, models, trainers

    first = 0xF0000  # a private plane of Unicode: one character for each token id that occurs
    known = sorted({token for trace in islice(traces, MOST_TRACES) for token in trace})
    places = {token: place for place, token in enumerate(known)}
    texts = ("".join(chr(first + places[token]) for token in trace) for trace in islice(traces, MOST_TRACES))
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=len(known) + count, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [[known[ord(character) - first] for character in text] for text, _ in vocabulary if len(text) > 1]
