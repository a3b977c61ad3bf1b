"""What rows are asked for: modes of decoding, lengths, requests."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mixlm.data.chat.prompts import closing_ids
from mixlm.data.tables import Row
from mixlm.data.tokenization import tokenize_text
from mixlm.errors import InputError
from mixlm.evaluation.measuring.records import own_codes
from mixlm.generation.answerer import Answerer, Request
from mixlm.generation.options import MOST_NEW_TOKENS, GenerationOptions, LatentMode, parse_latent_modes
from mixlm.run import Run


def read_modes(latents: Sequence[LatentMode | str] | str, run: Run) -> list[LatentMode]:
    """Return the modes in ``latents``; a string may hold several, as ``--latents`` does.

    Raises:
        InputError: If a string is no mode, one is named twice, or one asks for latents that the method does not write.
    """
    latents = [latents] if isinstance(latents, str) else latents
    lists = [parse_latent_modes(mode) if isinstance(mode, str) else [mode] for mode in latents]
    modes = [mode for listed in lists for mode in listed]
    if len(set(modes)) < len(modes):
        raise InputError(f"--latents {','.join(map(str, modes))}: a mode is named twice; name each once")
    for mode in modes:
        if mode.wants_latents and not run.method.writes_latents():
            raise InputError(f"--latents {mode}: method '{run.method_name}' writes no latents; choose free or text")
    return modes


def with_length(options: GenerationOptions, rows: Sequence[Row]) -> GenerationOptions:
    """Return options that say how long an answer to ``rows`` may be."""
    return replace(options, max_new_tokens=options.max_new_tokens or longest_answer(rows))


def longest_answer(rows: Sequence[Row]) -> int:
    """Return twice the length of the longest reference answer as text: a limit that cuts off rambling alone.

    Where no row has a trace, as in sets of questions, the length of a good answer is unknown: then 512.
    """
    lengths = [(len(row["trace_ids"]), len(row["solution_ids"])) for row in rows]
    return 2 * max(map(sum, lengths)) if any(trace for trace, _ in lengths) else MOST_NEW_TOKENS


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


def require_codes(modes: Iterable[LatentMode], rows: Iterable[Row], run: Run) -> None:
    """Raise an ``InputError`` if a share of latents is asked for and no row has a code: all shares would be none."""
    shares = [mode for mode in modes if mode.share]
    if shares and not any(own_codes(row, run) for row in rows):
        raise InputError(
            f"--latents {shares[0]}: no row has a trace of latents to take a share of, for it is not there or shorter "
            "than one; choose free, text or exact:N, or give other rows"
        )


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
        openings.append([*run.whole_prompt(row["prompt_ids"])[len(row["prompt_ids"]) :], *ids])
    return openings
