"""From samples to token ids. Nothing else calls a tokenizer on user text."""

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, count, islice, pairwise
from typing import TYPE_CHECKING, Any

from mixlm.data.chat.prompts import chat_prompts, closing_ids
from mixlm.data.chat.rendering import short, where_of
from mixlm.data.layouts.columns import KNOWN
from mixlm.data.samples import Sample
from mixlm.data.tables import COLUMNS, ID_COLUMNS
from mixlm.data.template import Template
from mixlm.data.texts.sentences import split_sentences
from mixlm.errors import InputError


if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase


_SAMPLES_AT_ONCE = 1000  # of one call of the tokenizer: a call costs as much as many short texts
_TAKEN = {*COLUMNS, *ID_COLUMNS, *KNOWN}


def tokenize_text(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Return the ids of ``text`` alone; the name of a special token in it stays text."""
    with _refusing():
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


@contextmanager
def _refusing() -> Iterator[None]:
    """Raise an ``InputError`` for a text that a tokenizer knows no token for, not even one for the unknown."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:  # the tokenizers library raises nothing more exact
            raise
        raise InputError(f"the tokenizer cannot read a text: {error}; set its unk_token, or take another") from None


def tokenize_prompt(tokenizer: "PreTrainedTokenizerBase", template: Template, sample: Sample | str) -> list[int]:
    """Return the ids of P: begin of sequence, if the tokenizer starts texts with it, then the rendered prompt.

    Args:
        tokenizer: The tokenizer.
        template: Renders the prompt.
        sample: A sample or a bare question.

    Raises:
        InputError: If a chat is asked for and the tokenizer has no chat template, or a chat of several turns is to be
            rendered without.
    """
    if isinstance(sample, str):
        sample = Sample(sample, (), "")
    if template.chat:
        return chat_prompts(tokenizer, template, [sample])[0]
    if sample.needs_chat:
        raise InputError(
            f"{where_of(sample)}the chat {short(sample.question)} has turns before its question, tools or "
            "chat_template_kwargs, which only a chat template renders; give --chat"
        )
    return [*starting_ids(tokenizer), *tokenize_text(tokenizer, template.render_prompt(sample.question))]


def starting_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return what the tokenizer itself puts before a text: begin of sequence for most, several tokens, or nothing."""
    whole, own = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
    places = range(len(whole) - len(own), -1, -1)
    return next((whole[:place] for place in places if whole[place : place + len(own)] == own), [])


def _tokenize_block(
    tokenizer: "PreTrainedTokenizerBase", template: Template, block: Sequence[Sample]
) -> Iterator[dict[str, list[int]]]:
    """Yield the ids of the parts of each sample, with end of sequence, and its ``step_lengths``.

    P, C and S are tokenised separately, and so is what closes a thought that P opens, at the beginning of S; the step
    lengths sum to the length of C. One call of the tokenizer serves all of a kind.
    """
    prompts = tokenize_prompts(tokenizer, template, block)
    closings = [closing_ids(tokenizer, template, prompt) for prompt in prompts]
    traces = _tokenize_texts(tokenizer, map(template.render_trace, block), return_offsets_mapping=True)
    solving = [template.after_thought if closing else template for closing in closings]
    texts = (own.render_solution(sample) for own, sample in zip(solving, block, strict=True))
    solutions = _tokenize_texts(tokenizer, texts)["input_ids"]
    ids, offsets = traces["input_ids"], traces["offset_mapping"]
    parts = zip(block, prompts, ids, offsets, closings, solutions, strict=True)
    for sample, prompt, trace, places, closing, solution in parts:
        yield {
            "prompt_ids": prompt,
            "trace_ids": trace,
            "solution_ids": [*closing, *solution, tokenizer.eos_token_id],
            "step_lengths": _step_lengths(sample, template.separator, places),
        }


def tokenize_prompts(
    tokenizer: "PreTrainedTokenizerBase", template: Template, block: Sequence[Sample]
) -> list[list[int]]:
    """Return what ``tokenize_prompt`` returns for each sample."""
    if template.chat:
        return chat_prompts(tokenizer, template, block)
    if any(sample.needs_chat for sample in block):
        return [tokenize_prompt(tokenizer, template, sample) for sample in block]
    start = starting_ids(tokenizer)
    texts = (template.render_prompt(sample.question) for sample in block)
    return [[*start, *ids] for ids in _tokenize_texts(tokenizer, texts)["input_ids"]]


def _tokenize_texts(tokenizer: "PreTrainedTokenizerBase", texts: Iterable[str], **settings: Any) -> "BatchEncoding":
    """Return what the tokenizer says of each text, as ``tokenize_text`` has it."""
    settings |= {"add_special_tokens": False, "split_special_tokens": True, "return_attention_mask": False}
    with _refusing():
        return tokenizer([*texts], return_token_type_ids=False, **settings)


def _step_lengths(sample: Sample, separator: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return how many tokens each step of a trace has: of its list, its lines, or its sentences if it is one line.

    A token belongs to the step that its first character lies in, white space before a word apart: a token that is a
    separator stands with the step before it, one that is a separating space and a word with the step of the word. Else
    a step would hold the beginning of the next one.
    """
    text = separator.join(sample.steps)
    if sample.from_text and len(sample.steps) == 1:
        sizes = [*map(len, split_sentences(text))]
    else:
        sizes = [len(step) + len(separator) for step in sample.steps]

    def start_of(place: tuple[int, int]) -> int:
        """Return where a token begins, white space before its word apart."""
        piece = text[place[0] : place[1]]
        return place[1] - len(piece.lstrip() or piece)

    # places only rise, so those where steps end are found without a look at all of them
    ends = [bisect_left(offsets, end, key=start_of) for end in accumulate(sizes[:-1])]
    return [end - start for start, end in pairwise([0, *ends, len(offsets)])] if sizes else []


def tokenize_samples(
    tokenizer: "PreTrainedTokenizerBase",
    template: Template,
    samples: Iterable[Sample],
    numbers: Iterable[int] | None = None,
) -> list[dict[str, Any]]:
    """Return a tokenized row for each sample: its number, the ids, question, answer, and its own further columns.

    Args:
        tokenizer: The tokenizer.
        template: Renders the samples.
        samples: The samples.
        numbers: Their numbers; None: 0, 1 and so on.
    """
    samples, numbers, rows = iter(samples), count() if numbers is None else iter(numbers), []
    while block := [*islice(samples, _SAMPLES_AT_ONCE)]:
        for sample, ids in zip(block, _tokenize_block(tokenizer, template, block), strict=True):
            about = {"question": sample.question, "answer": sample.answer, **own_columns(sample)}
            rows.append({"row": next(numbers), **ids, **about})
    return rows


def own_columns(sample: Sample) -> dict[str, str]:
    """Return the columns of a row beyond the sample itself, as text; anything but text as JSON."""
    own = {name: value for name, value in sample.columns.items() if name not in _TAKEN and value is not None}
    return {name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in own.items()}
