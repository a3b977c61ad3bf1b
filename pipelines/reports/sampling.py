"""What became of sampled traces, on a terminal."""

from typing import TYPE_CHECKING

from pipelines.shared.terminal import echo


if TYPE_CHECKING:
    from mixlm.sampling.counts import Counts


_WORDS = {
    "wrong": "wrong",
    "cut_off": "cut off (--max-new-tokens)",
    "unreadable": "without an answer that can be read",
    "no_trace": "right without a trace",
    "duplicate": "duplicates",
    "missing": "missing",
}
_MANY = 8  # traces to a question; more are told together


def print_counts(counts: "Counts") -> None:
    """Print how many answers were kept, why others were not, and how many traces the questions have."""
    fates = counts.fates
    sampled = fates.total() - fates["missing"]
    echo(f"{counts.kept.total()} questions, {sampled} answers: {fates['kept']} kept as traces")
    if told := ", ".join(f"{fates[fate]} {words}" for fate, words in _WORDS.items() if fates[fate]):
        echo(f"not kept: {told}")
    for fate in ("wrong", "unreadable"):
        if fate in counts.examples:
            echo(f"the first that is {fate}: {counts.examples[fate]}")
    echo(f"questions by their traces: {', '.join(_histogram(counts))}")


def _histogram(counts: "Counts") -> list[str]:
    """Return in words how many questions have how many traces."""
    few = [f"{counts.kept[number]} with {number or 'none'}" for number in sorted(counts.kept) if number <= _MANY]
    many = sum(count for number, count in counts.kept.items() if number > _MANY)
    return [*few, *([f"{many} with more"] if many else [])]
