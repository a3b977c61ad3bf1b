"""The latents of answers, each read back and beside what the model might have written in its place."""

from collections.abc import Sequence
from typing import Any

from mixlm.analysis.places import ChunkedSequence, Guess, guess_tokens
from mixlm.data.tables import Row
from mixlm.evaluation.measuring.records import Record
from mixlm.generation.engine import Engine
from mixlm.generation.explain import LatentReader


ALTERNATIVES = 5  # of the likeliest latents
Chips = dict[str, Any]


def chips_of(
    engine: Engine, rows: Sequence[Row], records: Sequence[Record], reader: LatentReader | None
) -> list[Chips | None]:
    """Return what is told of the latents of answers; None of an answer without any.

    Args:
        engine: The run.
        rows: The row that each answer is to.
        records: The answers.
        reader: Reads latents back; None: they mean no text.

    Returns:
        Of each answer ``codes``; with a reader that can ``texts`` and how ``sure`` it is of each; where latents come
        before all text ``shares``, the probability of each among all latents with those before it given, and
        ``alternatives``, the likeliest latents there with theirs.
    """
    found: list[Chips | None] = [{"codes": one["codes"]} if one["codes"] else None for one in records]
    chosen = [place for place, one in enumerate(found) if one]
    if reader is not None and reader.in_place:
        for place in chosen:
            readings = reader.read(records[place]["codes"], rows[place]["prompt_ids"])
            found[place]["texts"] = [reading.text for reading in readings]
            found[place]["sure"] = [round(reading.probability, 3) for reading in readings]
    if engine.run.method.spans == "prefix":
        written = [_written(engine, rows[place], records[place]["codes"]) for place in chosen]
        guesses = guess_tokens(engine.model, written, engine.run.ids.latent_ids, ALTERNATIVES)
        for place, own in zip(chosen, guesses, strict=True):
            found[place] |= {"shares": [round(guess.share, 4) for guess in own]}
            found[place] |= {"alternatives": [_alternatives(guess, engine) for guess in own]}
    return found


def _written(engine: Engine, row: Row, codes: Sequence[int]) -> ChunkedSequence:
    """Return the beginning of an answer, up to the last of its latents."""
    special = engine.run.ids
    given = [*engine.run.prompt(row["prompt_ids"]), special.bo_latent]
    return ChunkedSequence([*given, *map(special.latent, codes)], len(given), [1] * len(codes))


def _alternatives(guess: Guess, engine: Engine) -> list[tuple[int, float]]:
    return [(engine.run.ids.code(token), round(share, 4)) for token, share in guess.likeliest]
