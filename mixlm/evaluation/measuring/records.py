"""Records of answers, right or wrong, and the figures of many."""

from collections.abc import Iterable, Sequence
from typing import Any

from mixlm.data.tables import Row
from mixlm.evaluation.checks import CheckName, check_answer, unmarked_answer
from mixlm.evaluation.numbers import read_number
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.answerer import Answerer
from mixlm.generation.answers import Answer
from mixlm.run import Run


Record = dict[str, Any]


def score(
    answerer: Answerer, answers: Sequence[Answer], rows: Sequence[Row], mode: str, check: CheckName
) -> list[Record]:
    """Return one JSON record for each answer: what was asked, written, read out of it, and whether it is right.

    Args:
        answerer: Whose run and tokenizer read the answers.
        answers: Equally many for each row, next to each other.
        rows: Tokenized rows.
        mode: How latents were decoded.
        check: How an answer is compared with the right one.
    """
    samples = len(answers) // max(len(rows), 1)
    return [
        record_of(answerer, answer, (rows[place // samples], place % samples, mode), check)
        for place, answer in enumerate(answers)
    ]


def record_of(answerer: Answerer, answer: Answer, place: tuple[Row, int, str], check: CheckName) -> Record:
    """Return the record of one answer.

    Args:
        answerer: Whose run and tokenizer read it.
        answer: The answer.
        place: The row, the number of the answer among those to it, and how latents were decoded.
        check: How it is compared with the right one.
    """
    row, sample, mode = place
    gold, found = gold_answer(row, answerer), find_answer(answer.text, answerer.run, check)
    return {
        "row": row["row"],
        "sample": sample,
        "latents": mode,
        "question": row.get("question"),
        "gold": gold,
        "answer": found,
        "right": check_answer(gold, found, check, row.get("question") or ""),
        "text": answer.text,
        "codes": answer.codes,
        "own_codes": own_codes(row, answerer.run),
        "tokens": answer.counts.to_dict(),
        "finished": answer.finished,
    }


def own_codes(row: Row, run: Run) -> int:
    """Return how many latents stand for a row's trace; a tail shorter than a chunk has none."""
    if "codes" in row:
        return run.method.latents_of(row)
    if run.cutting is None:
        return 0
    ends = run.cutting.ends(run.cutting.stretches(row)).tolist()
    return run.method.latents_of({**row, "codes": [0] * len(ends), "code_ends": ends})


def find_answer(text: str, run: Run, check: CheckName) -> str | None:
    """Return what a text answers: what stands after the template's marker; None if it is not there.

    A model that was not trained here never saw the marker, which may be a heading to it. If its text has none, or no
    number after it where one is asked for, or more than a line where that is mathematics, ``unmarked_answer`` is its
    answer.
    """
    marked = run.template.find_answer(text)
    if run.untrained and (marked is None or not _is_answer(marked, check)):
        return unmarked_answer(text, check)
    return marked


def _is_answer(marked: str, check: CheckName) -> bool:
    """Tell whether what stands behind a marker can be an answer, and not the text below a heading."""
    return "\n" not in marked if check == "math" else check != "number" or read_number(marked) is not None


def gold_answer(row: Row, answerer: Answerer) -> str:
    """Return the right answer of a row, read from its solution like a model's answer from what it wrote."""
    solution = answerer.tokenizer.decode(
        row["solution_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return answerer.run.template.find_answer(solution) or ""


def summarize(records: Iterable[Record], rows: int) -> dict[str, Any]:
    """Return the figures of one mode.

    Args:
        records: One for each answer, equally many for each row; gone through once.
        rows: Number of rows.

    Returns:
        ``accuracy``, the share of right answers, and its 95 % Wilson ``interval`` over rows (with several samples a
        row counts by its mean, which makes the interval wide rather than narrow); ``solved``, the share of rows with a
        right answer among its samples (with ten of them "1-Feasible-10"); ``right`` and ``answers``, as numbers; mean
        ``tokens`` by kind and mean ``latents`` of an answer, None where not known; ``cut_off``, the share that did not
        end within the length limit; ``finished_accuracy``, the share of right ones among those that did, None without
        any; ``unreadable``, the share without an answer's marker.
    """
    count = right = finished = finished_right = unreadable = 0
    solved: set[int] = set()
    tokens: dict[str, int | None] = {}
    for record in records:
        count, right = count + 1, right + record["right"]
        finished, finished_right = (
            finished + record["finished"],
            finished_right + (record["finished"] and record["right"]),
        )
        unreadable += record["answer"] is None
        solved |= {record["row"]} if record["right"] else set()
        for kind, number in record["tokens"].items():
            before = tokens.get(kind, 0)
            tokens[kind] = None if number is None or before is None else before + number
    interval = wilson_interval(right * rows / count, rows)
    means = {kind: None if total is None else total / count for kind, total in tokens.items()}
    return {
        "accuracy": interval.estimate,
        "interval": [interval.low, interval.high],
        "solved": len(solved) / rows,
        "right": right,
        "answers": count,
        "tokens": means,
        "latents": means["latent"],
        "cut_off": (count - finished) / count,
        "finished_accuracy": finished_right / finished if finished else None,
        "unreadable": unreadable / count,
    }
