"""Controls: assorted with other codes than the VQ-VAE's, to tell whether the content of a code matters.

A control recodes the ``codes`` column; the sequence is then built as ever, with the same draws of m.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixlm.methods.assorted import Assorted
from mixlm.methods.base import Grammar, Row, Trainable, answer_sequence


@dataclass
class Control(Assorted):
    """A recoding whose codes stage 1 cannot read; it keeps the seed of the run."""

    source: ClassVar[str] = "control of this project"
    codes_mean_chunks: ClassVar[bool] = False

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Fix the seed of the codes."""
        state = {"seed": seed}
        self.restore(state)
        return state

    def restore(self, state: Mapping[str, Any]) -> "Control":
        """Take the seed of the codes."""
        self.seed = state["seed"]
        return self


@dataclass
class RandomCodes(Control):
    """Codes drawn uniformly, independent for each sample and position, fixed once by the seed of the run."""

    name: ClassVar[str] = "random-codes"

    def recode(self, rows: Sequence[Row]) -> list[Sequence[int]]:
        """Return as many random codes for each row as its trace has."""
        size = self.special.codebook_size
        return [
            np.random.default_rng([self.seed, row["row"]]).integers(size, size=len(row["codes"])).tolist()
            for row in rows
        ]


@dataclass
class ShuffledCodes(Control):
    """All code slots of the data in one fixed random order: a code stays as frequent as it is, its place is lost."""

    name: ClassVar[str] = "shuffled-codes"

    def recode(self, rows: Sequence[Row]) -> list[Sequence[int]]:
        """Return the codes of all ``rows``, permuted among them; every row keeps its number of codes."""
        codes = [row["codes"] for row in rows]
        joined = np.random.default_rng(self.seed).permutation([code for row in codes for code in row]).tolist()
        ends = np.cumsum([0, *map(len, codes)])
        return [joined[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]


@dataclass
class HashedCodes(Control):
    """Every code is a hash of the ids it stands for, mod K: the same text has the same code, alike texts have not."""

    name: ClassVar[str] = "hashed-codes"

    def recode(self, rows: Sequence[Row]) -> list[Sequence[int]]:
        """Return the hash of the r trace tokens of each code."""
        return [[self.hash(ids) for _, ids in self.chunks(row)] for row in rows]

    def hash(self, ids: Sequence[int]) -> int:
        """Return the code of a string of token ids, the same in every process and on every machine."""
        digest = hashlib.blake2b(np.asarray(ids, dtype="<i8").tobytes(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % self.special.codebook_size


@dataclass
class MatchedPauses(Control):
    """Every code is 0: as many positions as with real codes, without any content. The model writes them itself."""

    name: ClassVar[str] = "matched-pauses"

    def recode(self, rows: Sequence[Row]) -> list[Sequence[int]]:
        """Return zeros."""
        return [[0] * len(row["codes"]) for row in rows]


@dataclass
class DropPrefix(Control):
    """The first m trace tokens are missing, and nothing stands for them: no latents, no delimiters."""

    name: ClassVar[str] = "drop-prefix"

    def tokens(self, codebook_size: int) -> list[str]:
        """Return no tokens."""
        return []

    def sequence_with(self, row: Row, replaced: int) -> Trainable:
        """Return P, the trace after its first ``replaced`` codes' tokens, S."""
        rest = row["trace_ids"][replaced * self.compression_rate :]
        return answer_sequence(row["prompt_ids"], [*rest, *row["solution_ids"]])

    def grammar(self) -> Grammar:
        """Allow no latents."""
        return Grammar("none")

    def extra_tokens(self) -> int:
        """Return 0."""
        return 0

    def latents_of(self, row: Row) -> int:
        """Return 0."""
        return 0
