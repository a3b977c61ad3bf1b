"""Accuracy over the number of latents or thoughts at inference, for one run or for several that differ in c or r."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mixlm.analysis.finding import Finding, in_a_plot
from mixlm.data.tables import Row
from mixlm.errors import InputError
from mixlm.evaluation.checks import CheckName
from mixlm.evaluation.evaluate import answer_rows
from mixlm.evaluation.measuring.records import Record
from mixlm.evaluation.measuring.requests import require_codes
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.answerer import Answerer
from mixlm.generation.options import GenerationOptions, parse_latent_modes
from mixlm.run import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes


SHARES = ("exact:0%", "exact:25%", "exact:50%", "exact:75%", "exact:100%")


def counts_to_try(run: Run) -> list[int | str]:
    """Return what a run is swept over: from no thoughts to half as many again as in training, or shares of latents.

    Raises:
        InputError: If the run has neither.
    """
    method = run.method
    if method.uses_thoughts:
        most = method.stages * method.thoughts_per_step
        return list(range(most + most // 2 + 1))
    if not method.writes_latents():
        raise InputError(f"{run.path}: method '{run.method_name}' has no number of latents or thoughts to sweep over")
    return list(SHARES)


def sweep_rows(
    answerer: Answerer,
    rows: Sequence[Row],
    options: GenerationOptions,
    check: CheckName,
    counts: Sequence[int | str] | None = None,
) -> list[dict[str, Any]]:
    """Answer all rows with each number of latents or thoughts.

    Args:
        answerer: The run.
        rows: Tokenized rows.
        options: How to decode, greedily or not.
        check: How answers are compared.
        counts: Numbers of thoughts, or modes of latents; None: ``counts_to_try``.

    Returns:
        A row for each with ``run``; ``unit`` and ``per_step``: thoughts for each reasoning step, c, or tokens of a
        code, r; ``asked``; ``latents``, the mean number that answers held; ``accuracy`` with ``low`` .. ``high``, its
        95 % Wilson interval over rows (several answers to a row count by their mean); ``tokens``, the mean length.

    Raises:
        InputError: If the method has no number to sweep over, or shares are taken and no row has a code.
    """
    run, table = answerer.run, []
    counts = counts_to_try(run) if counts is None else counts
    require_codes(
        (mode for count in counts if isinstance(count, str) for mode in parse_latent_modes(count)), rows, run
    )
    for count in counts:
        asked = replace(options, **({"thoughts": count} if isinstance(count, int) else {"latents": count}))
        told = {"run": str(run.path), "unit": _unit(run), "per_step": _per_step(run), "asked": count}
        table.append(told | _figures(answer_rows(answerer, rows, asked, check), len(rows)))
    return table


def _unit(run: Run) -> str:
    if run.method.uses_thoughts:
        return "thoughts a step"
    return "tokens a code, at most" if run.align == "step" else "tokens a code"


def _per_step(run: Run) -> int:
    return run.method.thoughts_per_step if run.method.uses_thoughts else run.compression_rate


def _figures(records: Sequence[Record], rows: int) -> dict[str, float]:
    """Return the means of one mode's answers to some rows."""
    count, tokens = len(records), [record["tokens"] for record in records]
    accuracy = wilson_interval(sum(record["right"] for record in records) * rows / count, rows)
    return {
        "latents": sum(kinds["latent"] + kinds["thought"] for kinds in tokens) / count,
        "accuracy": accuracy.estimate,
        "low": accuracy.low,
        "high": accuracy.high,
        "tokens": sum(kinds["total"] for kinds in tokens) / count,
    }


def sweep_finding(rows: Sequence[dict[str, Any]], samples: int) -> Finding:
    """Return the curves of ``sweep_rows`` of one run or several, a line each.

    Args:
        rows: The rows of all runs.
        samples: Number of samples that each was measured on.
    """

    def draw(axes: "Axes") -> None:
        """Draw accuracy over the mean number of latents."""
        for run in dict.fromkeys(row["run"] for row in rows):
            own = sorted((row for row in rows if row["run"] == run), key=lambda row: row["latents"])
            places, accuracy = [row["latents"] for row in own], [row["accuracy"] * 100 for row in own]
            (line,) = axes.plot(
                places, accuracy, marker="o", label=f"{in_a_plot(run)} ({own[0]['unit']}: {own[0]['per_step']})"
            )
            low, high = ([row[name] * 100 for row in own] for name in ("low", "high"))
            axes.fill_between(places, low, high, color=line.get_color(), alpha=0.15)
        axes.set_xlabel("latents or thoughts of an answer, mean")
        axes.set_ylabel("accuracy in %, 95 % interval")
        axes.set_ylim(0, 105)
        axes.legend(fontsize=8)

    return Finding("sweep", f"accuracy over latents at inference, {samples} samples", rows, draw)


def check_comparable(run: Run, other: Run, rows: Sequence[Row]) -> None:
    """Raise an ``InputError`` unless two runs read the same rows, and codes in these mean the same to both."""
    for name, what in (("fingerprint", "tokenizer"), ("template", "template")):
        if getattr(run, name) != getattr(other, name):
            raise InputError(f"{other.path}: has another {what} than {run.path}; sweep over it in a call of its own")
    if run.cutting and other.method.needs_codes and "codes" in rows[0] and other.cutting != run.cutting:
        raise InputError(
            f"{other.path}: its latents stand for other chunks than the rows' codes; give the raw file in their place"
        )
