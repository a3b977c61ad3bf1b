"""Accuracy and length of a run's answers, with latents decoded freely or in given numbers."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mixlm.data.template import extract_answer
from mixlm.data.tokenization import tokenize_text
from mixlm.errors import InputError
from mixlm.evaluation.checks import CheckMode, check_answer, require_check
from mixlm.evaluation.losses import reference_sequences, teacher_forced_losses
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.answers import Answer
from mixlm.generation.generate import generate
from mixlm.generation.options import GenerationOptions, LatentMode, parse_latent_modes
from mixlm.generation.plan import plan
from mixlm.generation.progress import ReportProgress, RunningTotal
from mixlm.methods.base import Method, Row, recoded
from mixlm.model.loading import context_length
from mixlm.run import Run


Record = dict[str, Any]


def evaluate(
    run: Run,
    rows: Sequence[Row],
    model: Any = None,
    tokenizer: Any = None,
    latents: Sequence[LatentMode | str] = ("free",),
    check: CheckMode = "exact",
    progress: ReportProgress | None = None,
    **decoding: Any,
) -> dict[str, Any]:
    """Answer every row once per mode, check the answers, and measure the loss on the reference answers.

    Args:
        run: The run.
        rows: Tokenized rows; with ``codes``, or without them for a raw file.
        model: The run's causal LM, where it is loaded already.
        tokenizer: The run's tokenizer, where it is loaded already.
        latents: Modes of decoding; a share such as ``exact:50%`` is of the row's own number of codes.
        check: How an answer is compared with the right one.
        progress: Called with (done, total) after every batch; all modes and the loss count.
        **decoding: Other fields of ``GenerationOptions``, for example ``batch_size``. By default ``max_new_tokens`` is
            twice the longest reference answer as text, so that a longer answer is cut off for rambling, not by chance;
            512 if no row has a trace.

    Returns:
        ``method``, ``rows``, ``samples``, ``check``, ``max_new_tokens``; ``loss``: as ``teacher_forced_losses``;
        ``modes``: for each mode what ``summarize`` returns; ``records``: one for each answer; those of two runs join
        by ``row``, ``latents`` and ``sample``.

    Raises:
        InputError: If there is no row, a prompt does not fit, or a mode or check cannot be had.
    """
    if not len(rows):
        raise InputError("there are no rows to evaluate; give another file, split or --limit")
    require_check(check, (row.get("question") or "" for row in rows))
    modes = read_modes(latents, run)
    rows = recoded(list(rows), run.method)
    model = model if model is not None else run.load_model()
    tokenizer = tokenizer if tokenizer is not None else run.tokenizer()
    decoding.setdefault("max_new_tokens", longest_answer(rows))
    options = GenerationOptions(**decoding)
    requests = {str(mode): request(rows, run, replace(options, latents=mode), tokenizer) for mode in modes}
    for asked in requests.values():
        plan(model, run, **asked)  # nothing is lost to a mistake that shows in the last mode
    settings = {"samples": options.samples, "check": check, "max_new_tokens": options.max_new_tokens}
    result = {"method": run.method_name, "rows": len(rows), **settings}
    return result | _measure(model, tokenizer, run, rows, requests, check, progress)


def longest_answer(rows: Sequence[Row]) -> int:
    """Return twice the length of the longest reference answer as text: a limit that cuts off rambling alone.

    Where no row has a trace, as in sets of questions, the length of a good answer is unknown: then 512.
    """
    if not any(row["trace_ids"] for row in rows):
        return GenerationOptions().max_new_tokens
    return 2 * max(len(row["trace_ids"]) + len(row["solution_ids"]) for row in rows)


def _measure(
    model: Any,
    tokenizer: Any,
    run: Run,
    rows: Sequence[Row],
    requests: dict[str, dict[str, Any]],
    check: CheckMode,
    progress: ReportProgress | None,
) -> dict[str, Any]:
    """Return ``modes``, ``loss`` and ``records`` of ``evaluate``, for what ``generate`` is asked in each mode."""
    references = reference_sequences(run.method, rows, context_length(model), run.progress)
    answers = sum(len(rows) * asked["options"].samples for asked in requests.values())
    counted = RunningTotal(progress, answers + sum(map(len, references.values())))
    losses = teacher_forced_losses(model, references, progress=counted)
    summaries, records = {}, []
    for mode, asked in requests.items():
        started = time.perf_counter()
        written = generate(model, tokenizer, run, **asked, progress=counted)
        scored = score(written, rows, mode, tokenizer, run, check)
        summaries[mode] = summarize(scored, len(rows)) | {"seconds": time.perf_counter() - started}
        records += scored
    return {"modes": summaries, "loss": losses, "records": records}


def read_modes(latents: Sequence[LatentMode | str], run: Run) -> list[LatentMode]:
    """Return the modes in ``latents``; a string may hold several, as ``--latents`` does.

    Raises:
        InputError: If a string is no mode, or a mode asks for latents that the run's method does not write.
    """
    lists = [parse_latent_modes(mode) if isinstance(mode, str) else [mode] for mode in latents]
    modes = [mode for listed in lists for mode in listed]
    for mode in modes:
        if mode.kind in ("exact", "max") and (mode.count or mode.share) and run.method.grammar().spans == "none":
            raise InputError(f"--latents {mode}: method '{run.method_name}' writes no latents; choose free or text")
    return modes


def request(rows: Sequence[Row], run: Run, options: GenerationOptions, tokenizer: Any = None) -> dict[str, Any]:
    """Return what ``generate`` is asked for tokenized rows; a share of latents is taken of the row's own codes.

    Args:
        rows: Tokenized rows.
        run: The run.
        options: How to decode.
        tokenizer: The run's tokenizer; only the mode "direct" needs it.
    """
    counts, mode, method = None, options.latents, run.method
    if mode.kind in ("max", "exact"):
        counts = [mode.resolve(own_codes(row, run, method)).count for row in rows]
    prompts, names = [row["prompt_ids"] for row in rows], [f"row {row['row']}" for row in rows]
    asked = {"prompts": prompts, "options": options, "latent_counts": counts, "names": names}
    if mode.kind == "direct":
        asked["openings"] = direct_openings(rows, run, tokenizer)
    return asked


def direct_openings(rows: Sequence[Row], run: Run, tokenizer: Any) -> list[list[int]]:
    """Return for each row what makes the model answer at once: what the method puts after P, then the answer's marker.

    The marker is the text of the template's solution before the answer, without white space at its end.

    Raises:
        InputError: If the tokenizer joins the marker with an answer.
    """
    marker = run.template.solution.partition("{answer}")[0].rstrip()
    ids = tokenize_text(tokenizer, marker)
    for row in rows:
        if row["solution_ids"][: len(ids)] != ids:
            raise InputError(
                f"--latents direct: in row {row['row']} the tokenizer joins the marker {marker!r} with the answer; "
                "leave this mode out, or train with another --solution-template"
            )
    return [[*run.method.prompt(row["prompt_ids"], run.progress)[len(row["prompt_ids"]) :], *ids] for row in rows]


def score(
    answers: Sequence[Answer], rows: Sequence[Row], mode: str, tokenizer: Any, run: Run, check: CheckMode
) -> list[Record]:
    """Return one JSON record for each answer: what was asked, written, read out of it, and whether it is right.

    Args:
        answers: Equally many for each row, next to each other.
        rows: Tokenized rows.
        mode: How latents were decoded.
        tokenizer: The run's tokenizer.
        run: The run.
        check: How an answer is compared with the right one.
    """
    records, samples, method = [], len(answers) // len(rows), run.method
    for place, answer in enumerate(answers):
        row = rows[place // samples]
        gold = gold_answer(row, tokenizer, run)
        found = extract_answer(answer.text, run.template.solution)
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
                "own_codes": own_codes(row, run, method),
                "tokens": answer.counts.to_dict(),
                "finished": answer.finished,
            }
        )
    return records


def own_codes(row: Row, run: Run, method: Method) -> int:
    """Return how many latents stand for a row's trace; a tail shorter than a chunk has none."""
    if "codes" in row:
        return method.latents_of(row)
    if not run.chunk_length:
        return 0
    chunks = len(row["trace_ids"]) // run.chunk_length
    return method.latents_of({**row, "codes": [0] * (chunks * run.chunk_length // run.compression_rate)})


def gold_answer(row: Row, tokenizer: Any, run: Run) -> str:
    """Return the right answer of a row, read from its solution like a model's answer from what it wrote."""
    solution = tokenizer.decode(row["solution_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return extract_answer(solution, run.template.solution) or ""


def summarize(records: Sequence[Record], rows: int) -> dict[str, Any]:
    """Return the figures of one mode.

    Args:
        records: One for each answer, equally many for each row.
        rows: Number of rows.

    Returns:
        ``accuracy``, the share of right answers, and its 95 % Wilson ``interval`` over rows (with several samples a
        row counts by its mean, which makes the interval wide rather than narrow); ``solved``, the share of rows with a
        right answer among its samples (with ten of them "1-Feasible-10"); ``right`` and ``answers``, as numbers; mean
        ``tokens`` by kind; mean ``latents`` of an answer; ``cut_off``, the share that did not end within the length
        limit; ``unreadable``, the share without an answer's marker.
    """
    count, right = len(records), sum(record["right"] for record in records)
    interval = wilson_interval(right * rows / count, rows)
    tokens = {kind: sum(record["tokens"][kind] for record in records) / count for kind in records[0]["tokens"]}
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
