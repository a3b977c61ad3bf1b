"""How much of a trace becomes latent: the random draws of m, and the mixed answer that follows from one."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from mixlm.data.tables import Row, replaced_tokens
from mixlm.model.special_tokens import SpecialIds


# Token Assorted, appendix A: the set M for mathematics. 72 is no multiple of 16: it reaches 64 tokens, 4 codes.
PAPER_LENGTHS = (0, 72, 128, 160, 192, 224, 256)


def row_generator(seed: int, epoch: int, row: int) -> np.random.Generator:
    """Return the source of randomness of one row in one epoch: a pure function of its arguments.

    Processes and workers therefore agree on every draw, and a resumed run repeats it.
    """
    return np.random.default_rng([seed, epoch, row])


def draw_two_level(rng: np.random.Generator, ends: Sequence[int], grain: int, lengths: Sequence[int]) -> int:
    """Draw how many leading codes replace their text, by the paper's rule (Token Assorted, appendix A).

    m_max is uniform over ``lengths``; m is uniform over the multiples of r from 0 to m_max; the trace caps it. Both
    levels are drawn for every sample. Where chunks end with steps, m is any number of tokens up to m_max.

    Args:
        rng: Source of randomness.
        ends: Where the text of each code ends in the trace, ascending.
        grain: Tokens that m is a multiple of: r, or 1; see ``Cutting``.
        lengths: The set M, in trace tokens.

    Returns:
        The codes whose text ends within the first m tokens, from none to all.

    >>> {draw_two_level(np.random.default_rng(seed), [3, 5, 9], 1, [0, 6]) for seed in range(50)}
    {0, 1, 2}
    """
    longest = int(lengths[rng.integers(len(lengths))])
    return bisect_right(ends, int(rng.integers(longest // grain + 1)) * grain)


def fitting_lengths(traces: Sequence[int], grain: int) -> tuple[int, ...]:
    """Return the paper's set M for other traces: its lengths relate to the longest as there, that to these traces.

    The longest is such that nine of ten traces are no longer; the paper's own are written for traces of 256 tokens.

    Args:
        traces: Tokens of each trace.
        grain: Tokens that m is a multiple of: r, or 1; see ``Cutting``.

    >>> fitting_lengths([40] * 10, 1)
    (0, 11, 20, 25, 30, 35, 40)
    >>> fitting_lengths([40] * 10, 16)
    (0, 16, 32)
    """
    longest = float(np.quantile(traces, 0.9)) if len(traces) else 0.0
    scaled = (max(round(length * longest / PAPER_LENGTHS[-1] / grain), 1) * grain for length in PAPER_LENGTHS[1:])
    return (0, *sorted(set(scaled)))


def draw_uniform(rng: np.random.Generator, codes: int) -> int:
    """Draw how many leading codes replace their text, uniformly from 0 to ``codes``."""
    return int(rng.integers(codes + 1))


def draw_weighted(rng: np.random.Generator, codes: int, weights: tuple[float, float, float]) -> int:
    """Draw how many leading codes replace their text: none, all, or a number in between, by ``weights``.

    Args:
        rng: Source of randomness.
        codes: Codes of the trace.
        weights: Of no code, of all codes, and of a number in between, uniform from 1 to ``codes`` - 1. A trace of a
            single code has none in between: the first two weights alone decide, and it is latent if both are 0.
    """
    none, every, between = weights if codes > 1 else (*weights[:2], 0.0)
    place = rng.random() * (none + every + between)
    if place < none:
        return 0
    if place < none + every or codes < 2:
        return codes
    return int(rng.integers(1, codes))


def mixed_answer(row: Row, replaced: int, special: SpecialIds) -> list[int]:
    """Return the answer to a row in which its first ``replaced`` codes stand for their text.

    This is equation 1 of Token Assorted. Without codes there are no delimiters: the answer is the plain trace and
    solution.

    >>> special = SpecialIds(eos=0, bo_latent=100, eo_latent=101, first_latent=102, codebook_size=8)
    >>> row = {"trace_ids": [1, 2, 3, 4, 5], "solution_ids": [9, 0], "codes": [7, 3], "code_ends": [2, 4]}
    >>> mixed_answer(row, 2, special)
    [100, 109, 105, 101, 5, 9, 0]
    """
    text = [*row["trace_ids"][replaced_tokens(row, replaced) :], *row["solution_ids"]]
    if not replaced:
        return text
    return [special.bo_latent, *map(special.latent, row["codes"][:replaced]), special.eo_latent, *text]
