"""Whether rows survive their tokenizer: what its ids are decoded to, beside what was written.

A tokenizer may drop spaces, make all letters small, or know no ``#``: a model then learns, and writes, another text
than that of the rows, and where the answer's marker is lost nobody could find an answer in it.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from os.path import commonprefix
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

from mixlm.data.samples import Sample
from mixlm.data.tables import Row
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples, tokenize_text
from mixlm.errors import InputError


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


LOOKED_AT = 40  # rows, the first ones
BEFORE, SHOWN = 20, 60  # characters of an example: before what is lost, and all
KINDS = ("", "white space", "capital letters", "characters")  # what is lost, the least first
MARKERS = ("#### ", "The answer is: ", "the answer is ", "answer ", "# ")  # tried in place of a lost one


class Loss(NamedTuple):
    """What a text of a row loses; ``kind`` is "" where it comes back."""

    kind: str
    written: str
    read: str


def check_survival(
    tokenizer: "PreTrainedTokenizerBase",
    template: Template,
    samples: Iterable[Sample],
    say: Callable[[str], None] = lambda line: None,
    remedy: str = "give",
) -> None:
    """Decode the ids of the first samples and compare.

    White space around a text and the way in which accents are composed are no loss: tokenizers may add a space before
    a text and bring accents into one form, and a model that writes so is read rightly.

    Args:
        tokenizer: The tokenizer.
        template: Renders the samples.
        samples: The samples; further ones are not looked at.
        say: Told, with an example, if some do not come back, or have other ids than by the tokenizer's file alone, or
            if answers are read with their traces.
        remedy: What to do with another solution template, as an error says it.

    Raises:
        InputError: If no answer can be found in any of the samples as they come back.
    """
    samples = [*islice(samples, LOOKED_AT)]
    _require_answers(tokenizer, template, samples, remedy)
    _tell_of_markers(template, samples, say)
    _tell_of_traces(tokenizer, template, samples, say)
    texts = [text for sample in samples for text in _texts(template, sample)]
    _tell_of_file(tokenizer, texts, say)
    worst = [max((_loss(tokenizer, text) for text in _texts(template, sample)), key=_rank) for sample in samples]
    lost = [loss for loss in worst if loss.kind]
    if lost:
        loss = max(lost, key=_rank)
        written, read = _excerpts(loss)
        say(
            f"warning: {len(lost)} of the first {len(samples)} rows do not survive the tokenizer, which loses "
            f"{loss.kind}: {written!r} comes back as {read!r}, and so the model will learn and write it"
        )


def _tell_of_markers(template: Template, samples: Sequence[Sample], say: Callable[[str], None]) -> None:
    """Say in one line how many answers hold the answer's marker themselves: answers are read from its last place."""
    cut = [
        (sample.answer, read)
        for sample in samples
        if (read := template.find_answer(template.render_solution(sample)) or "").split() != sample.answer.split()
    ]
    if cut and template.marker.strip() and all(template.marker.strip() in answer for answer, _ in cut):
        answer, read = (textwrap.shorten(text, SHOWN, placeholder=" ..") for text in cut[0])
        say(
            f"warning: {len(cut)} of the first {len(samples)} answers hold {template.marker.strip()!r} themselves and "
            f"are read from there on ({read!r} of {answer!r}); give another --solution-template"
        )


def _tell_of_traces(
    tokenizer: "PreTrainedTokenizerBase", template: Template, samples: Sequence[Sample], say: Callable[[str], None]
) -> None:
    """Say in one line if every answer is read with its trace, since neither a marker nor a closed thought is between.

    That is no error, for methods of latents alone write no trace.
    """
    if template.marker.strip():
        return
    found = []
    for sample in (sample for sample in samples if template.render_trace(sample).strip()):
        with suppress(InputError):  # of a chat that cannot be rendered, which is told where it is encoded
            (row,) = tokenize_samples(tokenizer, template, [sample])
            texts = (
                _decode(tokenizer, ids) for ids in ([*row["trace_ids"], *row["solution_ids"]], row["solution_ids"])
            )
            found.append([template.find_answer(text) or "" for text in texts])
    if found and all(read.split() != answer.split() for read, answer in found):
        read, answer = (textwrap.shorten(text, SHOWN, placeholder=" ..") for text in found[0])
        say(
            f"warning: with --solution-template {template.solution!r} an answer is read with the trace before it "
            f"({read!r} for {answer!r}), and where a method writes traces none is right; give another one, such as "
            f"{Template.solution!r}"
        )


def bare_samples(rows: Iterable[Row]) -> Iterator[Sample]:
    """Return of the first tokenized rows, whose traces are ids alone, questions and answers as samples."""
    return (Sample(row["question"], (), row["answer"]) for row in islice(rows, LOOKED_AT))


def _texts(template: Template, sample: Sample) -> tuple[str, str, str]:
    """Return what is tokenised of a sample, without the prompt's frame."""
    return sample.question, template.render_trace(sample), template.render_solution(sample)


def _rank(loss: Loss) -> int:
    return KINDS.index(loss.kind)


def _decode(tokenizer: "PreTrainedTokenizerBase", ids: list[int]) -> str:
    """Decode ids as answers are decoded, up to an end of sequence."""
    end = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
    return tokenizer.decode(ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _loss(tokenizer: "PreTrainedTokenizerBase", text: str) -> Loss:
    """Compare a text with what comes back of it."""
    written, read = (
        normalize("NFC", text).strip(),
        normalize("NFC", _decode(tokenizer, tokenize_text(tokenizer, text))),
    )
    read = read.strip()
    forms: tuple[Callable[[str], str], ...] = (str, _dense, lambda text: _dense(text).casefold())
    kind = next((kind for kind, form in zip(KINDS, forms, strict=False) if form(written) == form(read)), KINDS[-1])
    return Loss(kind, written, read)


def _dense(text: str) -> str:
    """Return a text without white space."""
    return "".join(text.split())


def _excerpts(loss: Loss) -> Iterator[str]:
    """Return written and read text around the first place where they differ."""
    start = max(0, len(commonprefix([loss.written, loss.read])) - BEFORE)
    for text in (loss.written, loss.read):
        yield (".." if start else "") + text[start : start + SHOWN] + (".." if len(text) > start + SHOWN else "")


def _tell_of_file(tokenizer: "PreTrainedTokenizerBase", texts: list[str], say: Callable[[str], None]) -> None:
    """Tell the user if the class of a tokenizer makes other ids of a text than the file that it was opened from."""
    from tokenizers import Tokenizer
    from transformers.utils import cached_file

    other = None
    with suppress(Exception):  # it was built here, it has no such file, or the file alone reads no text
        file = cached_file(tokenizer.name_or_path, "tokenizer.json", local_files_only=True)
        alone = Tokenizer.from_file(file)
        alone.no_truncation()
        alone.no_padding()
        alone.encode_special_tokens = True
        plain = (alone.encode(text, add_special_tokens=False).ids for text in texts)
        other = next((text for text in texts if next(plain) != tokenize_text(tokenizer, text)), None)
    if other is not None:
        say(
            f"warning: transformers opens {file} as a {type(tokenizer).__name__}, whose ids of "
            f"{textwrap.shorten(other, SHOWN, placeholder=' ..')!r} are not the file's; a model that was trained with "
            "the file's is given others now"
        )


def _require_answers(
    tokenizer: "PreTrainedTokenizerBase", template: Template, samples: list[Sample], remedy: str
) -> None:
    """Raise an ``InputError`` if there are answers and none of them can be found."""
    answered = [sample for sample in samples if sample.answer.strip()]
    if not answered or any(_answer(tokenizer, template, sample) for sample in answered):
        return
    solution = template.render_solution(answered[0])
    read = _decode(tokenizer, tokenize_text(tokenizer, solution))
    others = (replace(template, solution=f"\n{marker}{{answer}}") for marker in MARKERS)
    kept = (other for other in others if all(_answer(tokenizer, other, sample) for sample in answered))
    advice = next((f"{remedy} --solution-template {other.solution!r}, which comes back" for other in kept), None)
    raise InputError(
        f"the tokenizer loses the answers: {textwrap.shorten(repr(solution), SHOWN)} comes back as "
        f"{textwrap.shorten(repr(read), SHOWN)}, and no answer could ever be found in what a model writes; "
        f"{advice or f'{remedy} another model, whose tokenizer keeps them'}"
    )


def _answer(tokenizer: "PreTrainedTokenizerBase", template: Template, sample: Sample) -> str | None:
    """Return what is found of an answer after its trace; "" or None if nothing is."""
    parts = (template.render_trace(sample), template.render_solution(sample))
    return template.find_answer(_decode(tokenizer, [id for part in parts for id in tokenize_text(tokenizer, part)]))
