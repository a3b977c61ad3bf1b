"""What codes stand for: the chunks behind every code, and how much a code tells of its chunk."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log2
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlm.analysis.finding import Finding
from mixlm.data.tables import replaced_chunks
from mixlm.errors import InputError


if TYPE_CHECKING:
    from matplotlib.axes import Axes


SHUFFLES = 5
_BARS = {
    "H(chunk)": "entropy_of_chunks",
    "H(chunk | code)": "entropy_of_chunks_given_code",
    "I(chunk; code)": "mutual_information",
    "I, codes\nshuffled": "mutual_information_shuffled",
    "H(code)": "entropy_of_codes",
    "bound\nlog2 K": "upper_bound",
}

ChunkCounts = Mapping[tuple[int, tuple[int, ...]], int]


def count_pairs(rows: Iterable[Mapping[str, Any]]) -> Counter[tuple[int, tuple[int, ...]]]:
    """Count how often every code stands for every chunk of text.

    Args:
        rows: Encoded rows with ``trace_ids``, ``codes`` and ``code_ends``.

    Returns:
        Occurrences of each pair of a code and the token ids of its chunk.
    """
    usage: dict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for row in rows:
        for code, chunk in replaced_chunks(row):
            usage[code][tuple(chunk)] += 1
    return Counter({(code, chunk): count for code, chunks in usage.items() for chunk, count in chunks.items()})


def entropy_bits(counts: Iterable[int]) -> float:
    """Return the plug-in entropy, in bits, of the distribution that ``counts`` are drawn from.

    >>> entropy_bits([2, 1, 1])
    1.5
    """
    values = np.fromiter(counts, dtype=float)
    shares = values[values > 0] / values.sum()
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def shuffled_information(counts: ChunkCounts, seed: int, shuffles: int = SHUFFLES) -> float:
    """Return the mean I(chunk; code), in bits, that the same counts give with codes shuffled over the occurrences.

    How often each code and each chunk occurs stays; what they have to do with each other is lost. The truth is then 0
    bits, so all that is left is the upward bias of counting few occurrences of many pairs.

    Args:
        counts: Occurrences of (code, chunk).
        seed: Seed of the shuffles.
        shuffles: Number of shuffles that are averaged.
    """
    times = list(counts.values())
    numbers: dict[tuple[int, ...], int] = {}
    codes = np.repeat(np.unique([code for code, _ in counts], return_inverse=True)[1], times)
    chunks = np.repeat([numbers.setdefault(chunk, len(numbers)) for _, chunk in counts], times)
    rng = np.random.default_rng(seed)
    width = len(numbers)
    joint = [np.unique(rng.permutation(codes) * width + chunks, return_counts=True)[1] for _ in range(shuffles)]
    apart = entropy_bits(np.bincount(codes)) + entropy_bits(np.bincount(chunks))
    return float(np.mean([max(0.0, apart - entropy_bits(pairs)) for pairs in joint]))


def information(counts: ChunkCounts, codebook_size: int, seed: int = 0) -> dict[str, float]:
    """Measure how much a code tells of its chunk.

    All entropies are plug-in estimates in bits. I(chunk; code) = H(chunk) - H(chunk | code) cannot exceed H(code),
    which cannot exceed log2 K. It is biased upward when most pairs occur only a few times, to the point where shuffled
    codes, which tell nothing, appear to tell much: only what lies clearly above the shuffled value was learned. The
    shuffled value is the bias of codes that tell nothing. That of codes that tell something is mostly smaller, so the
    difference of the two is a cautious estimate, no unbiased one.

    Args:
        counts: Occurrences of (code, chunk).
        codebook_size: Number of codes, K.
        seed: Seed of the shuffles.

    Raises:
        InputError: If there is no occurrence, or a code that a codebook of this size does not have.
    """
    _check(counts, codebook_size)
    codes, chunks = _totals(counts, 0), _totals(counts, 1)
    of_codes, of_chunks = entropy_bits(codes.values()), entropy_bits(chunks.values())
    given_code = max(0.0, entropy_bits(counts.values()) - of_codes)
    return {
        "occurrences": sum(counts.values()),
        "distinct_chunks": len(chunks),
        "codebook_size": codebook_size,
        "used_codes": len(codes),
        "perplexity_of_codes": 2**of_codes,
        "entropy_of_codes": of_codes,
        "entropy_of_chunks": of_chunks,
        "entropy_of_chunks_given_code": given_code,
        "mutual_information": max(0.0, of_chunks - given_code),
        "mutual_information_shuffled": shuffled_information(counts, seed),
        "upper_bound": log2(codebook_size),
    }


def information_finding(counts: ChunkCounts, codebook_size: int, seed: int = 0) -> Finding:
    """Return the measures of ``information``, given the same, as a table with units, and those in bits as bars."""
    measures = information(counts, codebook_size, seed)
    in_bits = set(_BARS.values())
    units = {name: "bits" if name in in_bits else "codes" if "code" in name else "chunks" for name in measures}
    rows = [{"measure": name, "value": value, "unit": units[name]} for name, value in measures.items()]
    found = f"{measures['occurrences']:,} chunks, {measures['distinct_chunks']:,} distinct"
    title = f"What a code tells of its chunk: {found}, {measures['used_codes']} of {codebook_size} codes in use"
    return Finding("code_information", title, rows, lambda axes: _draw_information(axes, measures))


def code_finding(counts: ChunkCounts, decode: Callable[[Sequence[int]], str], top: int = 5) -> Finding:
    """Return what every code in use stands for, the most frequent code first.

    Columns: ``code``; ``count``, its occurrences; ``share`` of all occurrences, from 0 to 1; ``entropy_bits`` of the
    chunks given the code, 0 if it always stands for the same; then ``chunk_1``, ``share_1`` and so on: the text of its
    most frequent chunks and their shares of the code's occurrences, empty where it has fewer.

    Args:
        counts: Occurrences of (code, chunk).
        decode: Gives the text of token ids.
        top: Number of chunks listed for each code.

    Raises:
        InputError: If there is no occurrence.
    """
    _check(counts)
    chunks_of: dict[int, dict[tuple[int, ...], int]] = defaultdict(dict)
    for (code, chunk), count in counts.items():
        chunks_of[code][chunk] = count
    total = sum(counts.values())
    rows = [_code_row(code, chunks, total, decode, top) for code, chunks in chunks_of.items()]
    rows.sort(key=lambda row: (-row["count"], row["code"]))
    title = f"The {len(rows)} codes in use, by frequency: {total:,} chunks, {len(_totals(counts, 1)):,} distinct"
    return Finding("codes", title, rows, lambda axes: _draw_codes(axes, rows))


def _code_row(
    code: int, chunks: Mapping[tuple[int, ...], int], total: int, decode: Callable[[Sequence[int]], str], top: int
) -> dict[str, Any]:
    count = sum(chunks.values())
    row = {"code": code, "count": count, "share": count / total, "entropy_bits": entropy_bits(chunks.values())}
    # Equal counts are ordered by token ids: the same data gives the same table.
    ordered = sorted(chunks.items(), key=lambda item: (-item[1], item[0]))
    for place in range(top):
        chunk, times = ordered[place] if place < len(ordered) else (None, 0)
        row[f"chunk_{place + 1}"] = None if chunk is None else decode(list(chunk))
        row[f"share_{place + 1}"] = None if chunk is None else times / count
    return row


def _totals(counts: ChunkCounts, part: int) -> Counter:
    """Return the occurrences of every code (part 0) or every chunk (part 1)."""
    totals = Counter()
    for pair, count in counts.items():
        totals[pair[part]] += count
    return totals


def _check(counts: ChunkCounts, codebook_size: int | None = None) -> None:
    if not sum(counts.values()):
        raise InputError("no codes to analyse: take a split of the encoded dataset whose rows have codes")
    largest = max(code for code, _ in counts)
    if codebook_size is not None and largest >= codebook_size:
        raise InputError(
            f"codebook of {codebook_size}, yet the data holds code {largest}: give the codebook size of the dataset"
        )


def _draw_codes(axes: "Axes", rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw occurrences by rank on a log axis, and each code's entropy on an axis of its own."""
    ranks = range(1, len(rows) + 1)
    axes.plot(ranks, [row["count"] for row in rows], ".-", color="tab:blue")
    axes.set_yscale("log")
    axes.set_xlabel("rank of the code by frequency")
    axes.set_ylabel("occurrences of the code", color="tab:blue")
    right = axes.twinx()
    right.plot(ranks, [row["entropy_bits"] for row in rows], "x", color="tab:orange")
    right.set_ylim(bottom=0)
    right.set_ylabel("entropy of its chunks (bits)", color="tab:orange")


def _draw_information(axes: "Axes", measures: Mapping[str, float]) -> None:
    values = [measures[name] for name in _BARS.values()]
    colours = ["tab:gray", "tab:gray", "tab:blue", "tab:orange", "tab:gray", "tab:gray"]
    axes.bar_label(axes.bar(list(_BARS), values, color=colours), fmt="%.2f")
    axes.set_ylabel("bits per chunk")
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(y=0.1)
