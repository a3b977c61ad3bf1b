"""What an answer to a question of ProsQA is: the six outcomes of Coconut (section 5).

An answer is a path, step by step, and a conclusion. The path is the text before the last marker of the conclusion; the
whole text if no conclusion was read out of it. The path is cut into sentences at full stops. A sentence names an edge
if it reads "A is a B" or "Every A is a B" ("an" for "a" and any white space between words are fine; whether "Every"
belongs there is not looked at). Without a conclusion, what follows the last full stop is unfinished and left out;
before a conclusion a missing full stop does not matter. The rules are tried in this order:

1. No sentence: CORRECT_LABEL if the conclusion is right, else INCORRECT_LABEL. A conclusion is right if it is a
   sentence as above, with or without its full stop, from the root to the target. One that is missing, says more, or is
   about another entity is wrong.
2. HALLUCINATION: a sentence names no edge of the graph, whether by other words, an unknown name or a pair without an
   edge; or the path is disconnected, so that a step does not begin where the step before ended; or its first node
   cannot be reached from the root, so that nothing completes it.
3. WRONG_TARGET: the path does not end at the target, even if the conclusion is right; or there is a conclusion and it
   is wrong, even if the path ends at the target. A path at the target without any conclusion is judged as a path.
4. CORRECT_PATH if the distance from the root to the path's first node, plus the number of steps, is the distance from
   the root to the target; LONGER_PATH if it is more. It cannot be less.

A path may begin after the root: with latents the first steps need not be text, and it counts as if it were completed
by a shortest path to its first node. Whether an answer had latents is not looked at, so a path of text alone that
leaves out its first steps is judged by the same rule. Among several shortest paths each is as correct as the others. A
path may go on after the target, since rule 3 looks at its end; a step said twice is disconnected.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlm.analysis.finding import Finding, error_bars
from mixlm.analysis.prosqa_graph import ConceptGraph
from mixlm.errors import InputError
from mixlm.evaluation.statistics import wilson_interval


if TYPE_CHECKING:
    from matplotlib.axes import Axes


CORRECT_PATH = "correct path"
LONGER_PATH = "longer path"
HALLUCINATION = "hallucination"
WRONG_TARGET = "wrong target"
CORRECT_LABEL = "correct label"
INCORRECT_LABEL = "incorrect label"
OUTCOMES = (CORRECT_PATH, LONGER_PATH, HALLUCINATION, WRONG_TARGET, CORRECT_LABEL, INCORRECT_LABEL)

MARKER = "###"
_STATEMENT = re.compile(r"(?:Every\s+)?(\S+)\s+is\s+an?\s+(\S+)")


def classify(text: str, final_answer: str | None, graph: ConceptGraph, marker: str = MARKER) -> str:
    """Return which of ``OUTCOMES`` an answer is, by the rules of this module.

    Args:
        text: What the model wrote, latents left out.
        final_answer: The answer that the run's own extraction read out of it; None if it found none.
        graph: The graph of the question.
        marker: What the conclusion begins with: the literal part of the run's solution template before ``{answer}``.
    """
    sentences = path_sentences(text, final_answer, marker)
    right = final_answer is not None and _concludes_target(final_answer, graph)
    if not sentences:
        return CORRECT_LABEL if right else INCORRECT_LABEL
    path = _valid_path(sentences, graph)
    if path is None:
        return HALLUCINATION
    if path[-1] != graph.target or not (right or final_answer is None):
        return WRONG_TARGET
    length = graph.distances[path[0]] + len(path) - 1
    return CORRECT_PATH if length == graph.distances[graph.target] else LONGER_PATH


def path_sentences(text: str, final_answer: str | None, marker: str = MARKER) -> list[str]:
    """Return the sentences of the path in ``text``, without full stops; the arguments are those of ``classify``.

    >>> path_sentences("Alex is a b.\\nEvery b is a c.\\n### Alex is a c.", "Alex is a c.")
    ['Alex is a b', 'Every b is a c']
    """
    if final_answer is None:
        pieces = text.split(".")[:-1]
    elif marker.strip():
        pieces = text.rpartition(marker.strip())[0].split(".")
    else:  # without a marker the extraction takes the whole text for the conclusion
        pieces = []
    return [piece.strip() for piece in pieces if piece.strip()]


def _valid_path(sentences: Sequence[str], graph: ConceptGraph) -> list[int] | None:
    """Return the nodes of the path that ``sentences`` describe; None if the graph has no such path from the root."""
    path: list[int] = []
    for sentence in sentences:
        found = _STATEMENT.fullmatch(sentence)
        start, end = (graph.nodes.get(name) for name in found.groups()) if found else (None, None)
        if start is None or end not in graph.children(start) or (path and path[-1] != start):
            return None
        path = [*(path or [start]), end]
    return path if path[0] in graph.distances else None


def _concludes_target(answer: str, graph: ConceptGraph) -> bool:
    found = _STATEMENT.fullmatch(answer.strip().removesuffix(".").rstrip())
    return found is not None and found.groups() == (graph.names[graph.root], graph.names[graph.target])


def outcome_finding(
    records: Sequence[Mapping[str, Any]], graphs: Mapping[int, ConceptGraph], marker: str = MARKER
) -> Finding:
    """Count the outcomes of a run's answers, for each way in which latents were decoded.

    Columns: ``latents``, the mode; ``outcome``, all six in every mode; ``count`` of answers; ``share`` of the mode's
    answers, from 0 to 1; ``low`` and ``high``, its 95 percent Wilson interval over rows; ``answers`` of the mode. With
    several answers to a row, the row counts by their mean, which makes the interval wide rather than narrow.

    Args:
        records: What ``mixlm.evaluation.measuring.records.score`` returns; of each ``text``, ``answer``, ``row`` and
            ``latents`` count.
        graphs: Graph of each row, by the number that records have as ``row``.
        marker: As in ``classify``.

    Raises:
        InputError: If there is no record, or a record's row has no graph.
    """
    if not records:
        raise InputError("there are no answers to classify; give another file, split or --limit")
    strays = [record["row"] for record in records if record["row"] not in graphs]
    if strays:
        raise InputError(f"row {strays[0]}: has no graph; take the rows that the answers belong to")
    modes = dict.fromkeys(str(record["latents"]) for record in records)
    rows = []
    for mode in modes:
        rows += _mode_rows(mode, [record for record in records if str(record["latents"]) == mode], graphs, marker)
    title = f"Outcomes of {len(records)} answers to {len({record['row'] for record in records})} questions"
    return Finding("outcomes", f"{title}, 95% intervals", rows, lambda axes: _draw(axes, rows))


def _mode_rows(
    mode: str, records: Sequence[Mapping[str, Any]], graphs: Mapping[int, ConceptGraph], marker: str
) -> list[dict[str, Any]]:
    counts = Counter(classify(record["text"], record["answer"], graphs[record["row"]], marker) for record in records)
    answers, questions = len(records), len({record["row"] for record in records})
    rows = []
    for outcome in OUTCOMES:
        share, low, high = wilson_interval(counts[outcome] * questions / answers, questions)
        measures = {"count": counts[outcome], "share": share, "low": low, "high": high, "answers": answers}
        rows.append({"latents": mode, "outcome": outcome, **measures})
    return rows


def _draw(axes: "Axes", rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the six shares as bars, those of several modes side by side."""
    modes = list(dict.fromkeys(row["latents"] for row in rows))
    width = 0.8 / len(modes)
    for place, mode in enumerate(modes):
        listed = [row for row in rows if row["latents"] == mode]
        shares = 100 * np.array([row["share"] for row in listed])
        places = np.arange(len(OUTCOMES)) + (place - (len(modes) - 1) / 2) * width
        label = f"latents: {mode} (n = {listed[0]['answers']})"
        axes.bar(places, shares, width, yerr=100 * error_bars(listed, "share"), capsize=3, label=label)
    axes.set_xticks(range(len(OUTCOMES)), [outcome.replace(" ", "\n") for outcome in OUTCOMES])
    axes.set_xlabel("outcome")
    axes.set_ylabel("share of answers (%)")
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8)
