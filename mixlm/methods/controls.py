"""Controls: assorted with other codes than the VQ-VAE's, to tell whether the content of a code matters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixlm.methods.assorted import Assorted
from mixlm.methods.base import Row


@dataclass
class RandomCodes(Assorted):
    """Codes drawn uniformly, independent for each sample and position, fixed once by the seed of the run."""

    name: ClassVar[str] = "random-codes"
    source: ClassVar[str] = "control of this project"
    codes_mean_chunks: ClassVar[bool] = False

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Fix the seed of the codes."""
        state = {"seed": seed}
        self.restore(state)
        return state

    def restore(self, state: Mapping[str, Any]) -> "RandomCodes":
        """Take the seed of the codes."""
        self.seed = state["seed"]
        return self

    def codes(self, row: Row) -> Sequence[int]:
        """Return as many random codes as the row's trace has."""
        rng = np.random.default_rng([self.seed, row["row"]])
        return rng.integers(self.special.codebook_size, size=len(row["codes"])).tolist()
