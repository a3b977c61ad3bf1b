"""From samples to token ids. Nothing else calls a tokenizer on user text."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, count, islice
from typing import TYPE_CHECKING, Any

from mixlm.data.chat.prompts import chat_prompts, closing_ids
from mixlm.data.chat.rendering import render_chat, short, where_of
from mixlm.data.layouts.columns import KNOWN
from mixlm.data.many.words import Placed
from mixlm.data.samples import Sample
from mixlm.data.sentences import split_sentences
from mixlm.data.tables import COLUMNS, ID_COLUMNS
from mixlm.data.template import Template
from mixlm.errors import InputError


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Placing = Callable[..., list[Placed]]  # ``place_texts`` of a tokenizer
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
        return _tokenize_apart(tokenizer, sample) if template.apart else chat_prompts(tokenizer, template, [sample])[0]
    if sample.needs_chat:
        raise InputError(
            f"{where_of(sample)}the chat {short(sample.question)} has turns before its question, or tools, which only "
            "a chat template renders; give --chat"
        )
    return [*starting_ids(tokenizer), *tokenize_text(tokenizer, template.render_prompt(sample.question))]


def starting_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return what the tokenizer itself puts before a text: its begin-of-sequence id, or nothing."""
    bos = tokenizer.bos_token_id
    whole = tokenizer("a")["input_ids"]
    return [bos] if bos is not None and whole[:1] == [bos] else []


def _tokenize_apart(tokenizer: "PreTrainedTokenizerBase", sample: Sample) -> list[int]:
    """Return the ids of a chat up to the assistant's turn, as ``Template.apart`` has it.

    The template is rendered around placeholders; its own markup is tokenised with special tokens, what users wrote
    without.
    """
    turns = sample.messages or ({"role": "user", "content": sample.question},)
    turns = [{"role": turn["role"], "content": str(turn["content"])} for turn in turns]
    marks = [f"\ue000{index}\ue001" for index in range(len(turns))]
    masked = [{**turn, "content": mark} for turn, mark in zip(turns, marks, strict=True)]
    rest = render_chat(tokenizer, masked, sample)
    ids: list[int] = []
    for turn, mark in zip(turns, marks, strict=True):
        markup, found, rest = rest.partition(mark)
        if not found:
            raise InputError("the tokenizer's chat template leaves out or repeats a turn; use a plain prompt template")
        ids += tokenizer(markup, add_special_tokens=False)["input_ids"] if markup else []
        ids += tokenize_text(tokenizer, turn["content"])
    return [*ids, *(tokenizer(rest, add_special_tokens=False)["input_ids"] if rest else [])]


def _tokenize_block(
    tokenizer: "PreTrainedTokenizerBase", template: Template, block: Sequence[Sample], place: Placing
) -> Iterator[dict[str, list[int]]]:
    """Yield the ids of the parts of each sample, with end of sequence, and its ``step_lengths``.

    P, C and S are tokenised separately, and so is what closes a thought that P opens, at the beginning of S; the step
    lengths sum to the length of C. One call of the tokenizer serves all of a kind.
    """
    prompts = tokenize_prompts(tokenizer, template, block, place)
    closings = [closing_ids(tokenizer, template, prompt) for prompt in prompts]
    traces = place([template.render_trace(sample) for sample in block])
    solving = [template.after_thought if closing else template for closing in closings]
    solutions = place([own.render_solution(sample) for own, sample in zip(solving, block, strict=True)], False)
    parts = zip(block, prompts, traces, closings, solutions, strict=True)
    for sample, prompt, trace, closing, solution in parts:
        yield {
            "prompt_ids": prompt,
            "trace_ids": trace.ids,
            "solution_ids": [*closing, *solution.ids, tokenizer.eos_token_id],
            "step_lengths": _count_starts(trace.starts, _step_sizes(sample, template.separator)),
        }


def tokenize_prompts(
    tokenizer: "PreTrainedTokenizerBase", template: Template, block: Sequence[Sample], place: Placing | None = None
) -> list[list[int]]:
    """Return what ``tokenize_prompt`` returns for each sample."""
    if template.chat and not template.apart:
        return chat_prompts(tokenizer, template, block)
    if template.chat or any(sample.needs_chat for sample in block):
        return [tokenize_prompt(tokenizer, template, sample) for sample in block]
    start, texts = starting_ids(tokenizer), [template.render_prompt(sample.question) for sample in block]
    placed = place(texts, False) if place else place_texts(tokenizer, texts, False)
    return [[*start, *own.ids] for own in placed]


def place_texts(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], begun: bool = True) -> list[Placed]:
    """Return the ids of texts, as ``tokenize_text`` has them, and where in its text each begins if ``begun``.

    White space before a word is no beginning: where a token is a space and a word, it begins with the word.
    """
    settings = {"add_special_tokens": False, "split_special_tokens": True, "return_attention_mask": False}
    if not texts:
        return []
    with _refusing():
        found = tokenizer([*texts], return_token_type_ids=False, return_offsets_mapping=begun, **settings)
    if not begun:
        return [Placed(ids, []) for ids in found["input_ids"]]
    return [Placed(*own) for own in zip(found["input_ids"], map(_starts, texts, found["offset_mapping"]), strict=True)]


def _starts(text: str, offsets: Iterable[tuple[int, int]]) -> list[int]:
    pieces = ((end, text[start:end]) for start, end in offsets)
    return [end - len(piece.lstrip() or piece) for end, piece in pieces]


def _step_sizes(sample: Sample, separator: str) -> list[int]:
    """Return the characters of each step of a trace: of its list, its lines, or its sentences if it is one line.

    A token belongs to the step that its first character lies in, white space before a word apart: a token that is a
    separator stands with the step before it, one that is a separating space and a word with the step of the word. Else
    a step would hold the beginning of the next one.
    """
    if sample.from_text and len(sample.steps) == 1:
        return [*map(len, split_sentences(separator.join(sample.steps)))]
    return [len(step) + len(separator) for step in sample.steps]


def _count_starts(starts: Iterable[int], sizes: Sequence[int]) -> list[int]:
    """Return how many tokens begin within each of parts of ``sizes`` characters; those beyond are the last one's."""
    ends = [*accumulate(sizes)]
    lengths, step = [0] * len(ends), 0
    for start in starts:
        while step < len(ends) - 1 and start >= ends[step]:
            step += 1
        lengths[step] += 1
    return lengths


def tokenize_samples(
    tokenizer: "PreTrainedTokenizerBase",
    template: Template,
    samples: Iterable[Sample],
    numbers: Iterable[int] | None = None,
    place: Placing | None = None,
) -> list[dict[str, Any]]:
    """Return a tokenized row for each sample: its number, the ids, question, answer, and its own further columns.

    Args:
        tokenizer: The tokenizer.
        template: Renders the samples.
        samples: The samples.
        numbers: Their numbers; None: 0, 1 and so on.
        place: A quicker ``place_texts`` of the tokenizer, for many samples.
    """
    place = place or partial(place_texts, tokenizer)
    samples, numbers, rows = iter(samples), count() if numbers is None else iter(numbers), []
    while block := [*islice(samples, _SAMPLES_AT_ONCE)]:
        for sample, ids in zip(block, _tokenize_block(tokenizer, template, block, place), strict=True):
            about = {"question": sample.question, "answer": sample.answer, **own_columns(sample)}
            rows.append({"row": next(numbers), **ids, **about})
    return rows


def own_columns(sample: Sample) -> dict[str, str]:
    """Return the columns of a row beyond the sample itself, as text; anything but text as JSON."""
    own = {name: value for name, value in sample.columns.items() if name not in _TAKEN and value is not None}
    return {name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in own.items()}
