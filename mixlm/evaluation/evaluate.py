"""Accuracy and length of a run's answers, with latents decoded freely or in given numbers."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from accelerate.utils import gather_object

from mixlm.data.chat.prompts import closing_ids
from mixlm.data.tables import Row
from mixlm.data.tokenization import tokenize_text
from mixlm.errors import InputError
from mixlm.evaluation.checks import CheckName, check_answer, require_check, unmarked_answer
from mixlm.evaluation.losses import reference_sequences, teacher_forced_losses
from mixlm.evaluation.numbers import read_number
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.answers import Answer, require_answers
from mixlm.generation.engine import Engine
from mixlm.generation.options import MOST_NEW_TOKENS, GenerationOptions, LatentMode, parse_latent_modes
from mixlm.generation.plan import Answerer, Pending, Request
from mixlm.methods.base import recoded
from mixlm.processes import Processes
from mixlm.run import Run
from vqvae.advance import Advance, RunningTotal


Record = dict[str, Any]
ALONE = Processes()


def evaluate(
    answerer: Answerer,
    rows: Sequence[Row],
    options: GenerationOptions | None = None,
    latents: Sequence[LatentMode | str] | str = ("free",),
    check: CheckName | None = None,
    advance: Advance | None = None,
) -> dict[str, Any]:
    """Answer every row once per mode, check the answers, and measure the loss on the reference answers.

    Args:
        answerer: An engine, or a server, which knows no losses.
        rows: Tokenized rows; with ``codes``, or without them for a raw file.
        options: How to decode, but for the latents. By default ``max_new_tokens`` is ``longest_answer``.
        latents: Modes of decoding; a share such as ``exact:50%`` is of the row's own number of codes.
        check: How an answer is compared with the right one; None: as with the rows that the run learned from.
        advance: Called with (done, total) after every batch; all modes and the loss count.

    Returns:
        ``method``, ``rows``, ``samples``, ``check``, ``max_new_tokens``, ``decoding`` ("plain" of sampled answers);
        ``loss``: as ``teacher_forced_losses``, empty of a server; ``modes``: for each mode what ``summarize`` returns;
        ``records``: one for each answer; those of two runs join by ``row``, ``latents`` and ``sample``.

    Raises:
        InputError: If there is no row, a prompt does not fit, or a mode or check cannot be had.
    """
    if not len(rows):
        raise InputError("there are no rows to evaluate; give another file, split or --limit")
    check = check or answerer.run.check
    require_check(check, (row.get("question") or "" for row in rows))
    run = answerer.run
    modes, rows = read_modes(latents, run), recoded(list(rows), run.method)
    options = with_length(options or GenerationOptions(), rows)
    asked = {  # nothing is lost to a mistake that shows in the last mode
        str(mode): answerer.plan(requests_of(answerer, rows, mode), replace(options, latents=mode)) for mode in modes
    }
    local = isinstance(answerer, Engine)
    references = reference_sequences(run.method, rows, answerer.context, run.progress) if local else {}
    counted = RunningTotal(advance, sum(map(len, (*asked.values(), *references.values()))))
    losses = teacher_forced_losses(answerer.model, references, advance=counted) if local else {}
    summaries, records = {}, []
    for mode, pending in asked.items():
        started = time.perf_counter()
        scored = score(answerer, _decoded(answerer, pending, options, counted), rows, mode, check)
        summaries[mode] = summarize(scored, len(rows)) | {"seconds": time.perf_counter() - started}
        records += scored
    settings = {"samples": options.samples, "check": check, "max_new_tokens": options.max_new_tokens}
    settings |= {"decoding": answerer.decoding(options)}
    result = {"method": run.method_name, "rows": len(rows), **settings}
    return result | {"modes": summaries, "loss": losses, "records": records}


def with_length(options: GenerationOptions, rows: Sequence[Row]) -> GenerationOptions:
    """Return options that say how long an answer to ``rows`` may be."""
    return replace(options, max_new_tokens=options.max_new_tokens or longest_answer(rows))


def longest_answer(rows: Sequence[Row]) -> int:
    """Return twice the length of the longest reference answer as text: a limit that cuts off rambling alone.

    Where no row has a trace, as in sets of questions, the length of a good answer is unknown: then 512.
    """
    if not any(row["trace_ids"] for row in rows):
        return MOST_NEW_TOKENS
    return 2 * max(len(row["trace_ids"]) + len(row["solution_ids"]) for row in rows)


def read_modes(latents: Sequence[LatentMode | str] | str, run: Run) -> list[LatentMode]:
    """Return the modes in ``latents``; a string may hold several, as ``--latents`` does.

    Raises:
        InputError: If a string is no mode, or a mode asks for latents that the run's method does not write.
    """
    latents = [latents] if isinstance(latents, str) else latents
    lists = [parse_latent_modes(mode) if isinstance(mode, str) else [mode] for mode in latents]
    modes = [mode for listed in lists for mode in listed]
    for mode in modes:
        if mode.wants_latents and run.method.spans == "none":
            raise InputError(f"--latents {mode}: method '{run.method_name}' writes no latents; choose free or text")
    return modes


def answer_rows(
    answerer: Answerer, rows: Sequence[Row], options: GenerationOptions, check: CheckName = "exact"
) -> list[Record]:
    """Answer tokenized rows in one mode and return the records of ``score``.

    Raises:
        InputError: As ``Answerer.answer``.
    """
    pending = answerer.plan(requests_of(answerer, rows, options.latents), options)
    return score(answerer, _decoded(answerer, pending, options), rows, str(options.latents), check)


def accuracy(
    answerer: Answerer, rows: Sequence[Row], check: CheckName = "exact", processes: Processes = ALONE
) -> float:
    """Return the share of rows that are answered right, decoded freely and greedily.

    Args:
        answerer: The run.
        rows: Tokenized rows.
        check: How an answer is compared with the right one.
        processes: Who share the rows; all that there are must call this, and all are told the same.
    """
    records = answer_rows(answerer, processes.share(rows), with_length(GenerationOptions(), rows), check)
    right = gather_object([record["right"] for record in records])
    return sum(right) / len(right)


def _decoded(
    answerer: Answerer, pending: Sequence[Pending], options: GenerationOptions, advance: Advance | None = None
) -> list[Answer]:
    """Decode answers; figures without some of them would mislead, so none may be missing."""
    answers = answerer.decode(pending, options, advance)
    require_answers(answers, [one.request.name for one in pending])
    return answers


def requests_of(answerer: Answerer, rows: Sequence[Row], mode: LatentMode) -> list[Request]:
    """Return what asks tokenized rows in one mode; a share of latents is taken of the row's own codes."""
    openings = direct_openings(answerer, rows) if mode.kind == "direct" else [None] * len(rows)
    shared = mode.share is not None
    return [
        Request(
            row["prompt_ids"],
            f"row {row['row']}",
            mode.resolve(own_codes(row, answerer.run)) if shared else mode,
            opening,
        )
        for row, opening in zip(rows, openings, strict=True)
    ]


def direct_openings(answerer: Answerer, rows: Sequence[Row]) -> list[list[int]]:
    """Return for each row what makes the model answer at once: what the method puts after P, then the answer's marker.

    The marker is the text of the template's solution before the answer, without white space at its end. Where the
    prompt opens a thought, what closes it stands before the marker.

    Raises:
        InputError: If the tokenizer joins the marker with an answer.
    """
    run, openings = answerer.run, []
    for row in rows:
        closing = closing_ids(answerer.tokenizer, run.template, row["prompt_ids"])
        marker = (run.template.after_thought if closing else run.template).marker.rstrip()
        ids = [*closing, *tokenize_text(answerer.tokenizer, marker)]
        if row["solution_ids"][: len(ids)] != ids:
            raise InputError(
                f"--latents direct: in row {row['row']} the tokenizer joins the marker {marker!r} with the answer; "
                "leave this mode out, or train with another --solution-template"
            )
        openings.append([*run.prompt(row["prompt_ids"])[len(row["prompt_ids"]) :], *ids])
    return openings


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
    records, samples, run = [], len(answers) // max(len(rows), 1), answerer.run
    for place, answer in enumerate(answers):
        row = rows[place // samples]
        gold, found = gold_answer(row, answerer), find_answer(answer.text, run, check)
        records.append(
            {
                "row": row["row"],
                "sample": place % samples,
                "latents": mode,
                "question": row.get("question"),
                "gold": gold,
                "answer": found,
                "right": check_answer(gold, found, check, row.get("question") or ""),
                "text": answer.text,
                "codes": answer.codes,
                "own_codes": own_codes(row, run),
                "tokens": answer.counts.to_dict(),
                "finished": answer.finished,
            }
        )
    return records


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

    A model that was not trained here never saw the marker. If its text has none, or no number after it where one is
    asked for, ``unmarked_answer`` is its answer.
    """
    marked = run.template.find_answer(text)
    readable = marked is not None and (check != "number" or read_number(marked) is not None)
    return unmarked_answer(text, check) if run.untrained and not readable else marked


def gold_answer(row: Row, answerer: Answerer) -> str:
    """Return the right answer of a row, read from its solution like a model's answer from what it wrote."""
    solution = answerer.tokenizer.decode(
        row["solution_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return answerer.run.template.find_answer(solution) or ""


def summarize(records: Sequence[Record], rows: int) -> dict[str, Any]:
    """Return the figures of one mode.

    Args:
        records: One for each answer, equally many for each row.
        rows: Number of rows.

    Returns:
        ``accuracy``, the share of right answers, and its 95 % Wilson ``interval`` over rows (with several samples a
        row counts by its mean, which makes the interval wide rather than narrow); ``solved``, the share of rows with a
        right answer among its samples (with ten of them "1-Feasible-10"); ``right`` and ``answers``, as numbers; mean
        ``tokens`` by kind and mean ``latents`` of an answer, None where not known; ``cut_off``, the share that did not
        end within the length limit; ``unreadable``, the share without an answer's marker.
    """
    count, right = len(records), sum(record["right"] for record in records)
    interval = wilson_interval(right * rows / count, rows)
    tokens = {kind: _mean([record["tokens"][kind] for record in records]) for kind in records[0]["tokens"]}
    return {
        "accuracy": interval.estimate,
        "interval": [interval.low, interval.high],
        "solved": len({record["row"] for record in records if record["right"]}) / rows,
        "right": right,
        "answers": count,
        "tokens": tokens,
        "latents": tokens["latent"],
        "cut_off": sum(not record["finished"] for record in records) / count,
        "unreadable": sum(record["answer"] is None for record in records) / count,
    }


def _mean(counts: Sequence[int | None]) -> float | None:
    """Return the mean; None if a count is not known."""
    return None if None in counts else sum(counts) / len(counts)
