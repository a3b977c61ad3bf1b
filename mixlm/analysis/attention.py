"""What latents attend to in the prompt, against what the trace as text attends to."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mixlm.analysis.finding import Finding, error_bars
from mixlm.errors import InputError
from mixlm.evaluation.statistics import bootstrap_interval, paired_bootstrap_difference
from vqvae.model.layers import evaluating


if TYPE_CHECKING:
    from matplotlib.axes import Axes


NUMBER, OPERATOR, OTHER = CLASSES = ("number", "operator", "other")
LATENT, TEXT = SOURCES = ("latent", "text")
DIFFERENCE = "latent - text"

NUMBER_WORDS = frozenset(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million
    millions billion dozen dozens half halves third thirds quarter quarters fourth fourths fifth fifths once twice
    thrice double doubles doubled triple triples tripled ½ ⅓ ⅔ ¼ ¾
    """.split()
)
OPERATOR_WORDS = frozenset(
    """
    plus minus times add adds added adding addition sum total totals subtract subtracts subtracted subtraction
    difference more less fewer each every per product multiply multiplies multiplied divide divides divided dividing
    split quotient remaining remain remains remainder left altogether combined percent average equal equals equally x
    """.split()
)
OPERATOR_SIGNS = frozenset("+-−*/=%×÷<>")

_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_HYPHEN = re.compile(r"(?<=[^\W\d_])-|-(?=[^\W\d_])")
_BROKEN = "\N{REPLACEMENT CHARACTER}"
_LONGEST_CHARACTER = 4  # bytes of a character in UTF-8, so at most this many tokens


@dataclass(frozen=True)
class PromptAttention:
    """Attention to the prompt of one sample.

    Attributes:
        classes: Class of every prompt token, (prompt_length,), from ``prompt_classes``.
        latent: Attention of latent positions to every prompt token, (prompt_length,), up to a factor.
        text: The same of the positions of the trace as text.
    """

    classes: np.ndarray
    latent: np.ndarray
    text: np.ndarray


def prompt_classes(prompt_ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Tell for every token of a prompt whether it belongs to a number, an operator or neither.

    A class belongs to a whole word, and every token that holds a part of the word gets it, so that neither the way a
    tokenizer splits words nor the space that it puts before them matters. A word is a run of letters, a run of digits,
    or one punctuation mark. A token of several words is a number before it is an operator. A hyphen beside a letter
    joins words ("10-year", "twenty-one") and is no minus. Words are judged without their context: "one", "left" and
    "quarter" have meanings that are no number and no operation.

    Args:
        prompt_ids: Token ids, length prompt_length.
        tokenizer: A tokenizer of transformers.

    Returns:
        "number", "operator" or "other" for each token, (prompt_length,).
    """
    text, spans = decoded_spans(prompt_ids, tokenizer)
    hyphens = {found.start() for found in _HYPHEN.finditer(text)}
    kinds = np.full(len(text), CLASSES.index(OTHER))
    for word in _WORD.finditer(text):
        if word.start() not in hyphens:
            kinds[slice(*word.span())] = CLASSES.index(word_class(word[0]))
    # CLASSES is in order of precedence.
    return np.array([CLASSES[min(kinds[slice(*span)], default=CLASSES.index(OTHER))] for span in spans])


def word_class(word: str) -> str:
    """Return "number", "operator" or "other" for one word or sign.

    >>> word_class("12"), word_class("Twice"), word_class("altogether"), word_class("apples")
    ('number', 'number', 'operator', 'other')
    """
    if any(character.isdigit() for character in word) or word.lower() in NUMBER_WORDS:
        return NUMBER
    return OPERATOR if word in OPERATOR_SIGNS or word.lower() in OPERATOR_WORDS else OTHER


def decoded_spans(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> tuple[str, list[tuple[int, int]]]:
    """Decode ``ids`` and return the text and where in it each token's characters lie.

    Tokens that only together make a character share its place. Special tokens have no text.

    Args:
        ids: Token ids, length n.
        tokenizer: A tokenizer of transformers.

    Returns:
        The text, and n pairs of start and end in characters.
    """

    def decode(part: list[int]) -> str:
        """Return the text of some ids."""
        return tokenizer.decode(part, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    text, spans, context, pending = "", [], [], []
    for place, token in enumerate(ids):
        pending.append(token)
        # Some tokenizers drop the space before the first token that they decode, so the token before comes along.
        piece = decode([*context, *pending])[len(decode(context)) :]
        if piece.endswith(_BROKEN) and len(pending) < _LONGEST_CHARACTER and place + 1 < len(ids):
            continue
        spans += [(len(text), len(text) + len(piece))] * len(pending)
        text, context, pending = text + piece, pending if piece else context, []
    return text, spans


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let ``model`` return its attention weights, without dropout and gradients, for as long as the context lasts.

    Attention implementation and training mode are put back afterwards, also after an error.
    """
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with evaluating(model):
            yield
    finally:
        model.set_attn_implementation(before)


def attention_to_prompt(
    model: PreTrainedModel, given: Mapping[str, torch.Tensor], queries: torch.Tensor, prompt_length: int
) -> np.ndarray:
    """Return how the attention that some positions pay to the prompt is spread over its tokens.

    Args:
        model: Any causal LM of transformers.
        given: ``input_ids`` (1, n) of one sequence that begins with the prompt, or its ``inputs_embeds`` (1, n, D).
        queries: True at the positions whose attention is meant, all of them after the prompt, (n,).
        prompt_length: Tokens of the prompt.

    Returns:
        Attention to each prompt token, mean over layers, heads and query positions, then scaled to sum 1,
        (prompt_length,).

    Raises:
        ValueError: If no position is meant, or one inside the prompt, which cannot see all of it.
        InputError: If the model returns no attention weights, or its attention does not reach the prompt.
    """
    queries = torch.as_tensor(queries, dtype=torch.bool, device=next(iter(given.values())).device)
    if not queries.any() or queries[:prompt_length].any():
        raise ValueError("attention to the prompt needs at least one query position, and none inside the prompt")
    with eager_attention(model):
        output = model(**given, output_attentions=True, use_cache=False)
    layers = [layer for layer in getattr(output, "attentions", None) or () if _are_weights(layer, len(queries))]
    name = getattr(model.config, "model_type", "model")
    if not layers:
        raise InputError(f"{name}: returns no attention weights; take a model with an 'eager' attention")
    # In float64, which some devices lack: a mean of many small bf16 weights loses digits.
    total = sum(layer[0][:, queries, :prompt_length].cpu().double().mean((0, 1)) for layer in layers)
    if not total.sum() > 0:
        raise InputError(f"{name}: its attention does not reach back to the prompt; leave out answers this long")
    return (total / total.sum()).numpy()


def _are_weights(layer: object, length: int) -> bool:
    """Tell whether what a layer returned are weights of every token on every token, (1, heads, n, n).

    Recurrent layers return nothing, or what they compute in place of attention.
    """
    return isinstance(layer, torch.Tensor) and layer.ndim == 4 and layer.shape[2:] == (length, length)


def relative_attention(attention: np.ndarray, classes: np.ndarray, kind: str) -> float | None:
    """Return the attention to a token of a class relative to that to an average prompt token; None without any.

    Args:
        attention: Attention to every prompt token, (prompt_length,), not all 0.
        classes: Class of every prompt token, (prompt_length,).
        kind: The class.
    """
    members = np.asarray(classes) == kind
    return float(attention[members].mean() / attention.mean()) if members.any() else None


def attention_finding(measures: Sequence[PromptAttention]) -> Finding:
    """Compare the attention of latents with that of the text trace to numbers and operators of the prompt.

    This turns the picture of a few samples in Token Assorted (section 4.3) into a statistic over a set. The measure of
    a class is the share of the attention to the prompt that its tokens get, over their share of the prompt's tokens: 1
    is the attention to an average token. It is averaged over the samples whose prompt has the class, with a 95 percent
    bootstrap interval over samples; ``latent - text`` is the difference on the same samples.

    It says where attention weights lie, not what the answer depends on: a token may be attended to and ignored, or
    matter by way of other positions, which have attended to it before. Layers and heads are averaged, which may hide
    one that does the work. Many models put most of their weight on the first token whatever it is; that token counts
    as "other" unless it is a number, and pushes all other values below 1, so the difference between the sources also
    holds any difference in what they leave there. Measures without their first token tell whether it does.

    Args:
        measures: Attention of each sample.

    Raises:
        InputError: If there is no sample.
    """
    if not measures:
        raise InputError("no sample has both latents and a text trace: take a split with codes, or more samples")
    rows = [row for kind in CLASSES for row in _class_rows(measures, kind)]
    title = f"Attention to the prompt from latents and from text, {len(measures)} samples, 95% intervals"
    return Finding("attention", title, rows, lambda axes: _draw(axes, rows))


def _class_rows(measures: Sequence[PromptAttention], kind: str) -> list[dict[str, Any]]:
    """Return the rows of one class: latent, text, and their difference."""
    pairs = [
        [relative_attention(attention, measure.classes, kind) for attention in (measure.latent, measure.text)]
        for measure in measures
        if kind in measure.classes
    ]
    rows = []
    for source in (*SOURCES, DIFFERENCE):
        row = {"class": kind, "source": source, "relative_attention": None, "low": None, "high": None}
        if pairs:
            values = np.array(pairs)
            if source == DIFFERENCE:
                interval = paired_bootstrap_difference(values[:, 0], values[:, 1])
            else:
                interval = bootstrap_interval(values[:, SOURCES.index(source)])
            row["relative_attention"] = interval.estimate
            if len(pairs) > 1:  # one sample alone says nothing of its spread
                row.update(low=interval.low, high=interval.high)
        rows.append({**row, "samples": len(pairs)})
    return rows


def _draw(axes: "Axes", rows: Sequence[dict[str, Any]]) -> None:
    """Draw both sources as bars side by side for every class that occurs, and the difference below them as text."""
    found = {(row["class"], row["source"]): row for row in rows if row["samples"]}
    kinds = [kind for kind in CLASSES if (kind, LATENT) in found]
    for shift, source, colour in ((-0.2, LATENT, "tab:blue"), (0.2, TEXT, "tab:orange")):
        listed = [found[kind, source] for kind in kinds]
        heights = np.array([row["relative_attention"] for row in listed])
        errors = error_bars(listed, "relative_attention")
        places = np.arange(len(kinds)) + shift
        axes.bar(places, heights, 0.4, yerr=errors, capsize=4, color=colour, label=f"from {source} positions")
    axes.axhline(1, color="black", linewidth=0.8, linestyle="--", label="average prompt token")
    axes.set_xticks(range(len(kinds)), [_label(kind, found[kind, DIFFERENCE]) for kind in kinds])
    axes.set_xlabel("class of the prompt token")
    axes.set_ylabel("attention per token\n(average prompt token = 1)")
    axes.margins(y=0.2)  # room for the legend above the bars
    axes.legend(fontsize=8, ncols=3, loc="upper center")


def _label(kind: str, row: dict[str, Any]) -> str:
    limits = "one sample" if row["low"] is None else f"[{row['low']:+.2f}, {row['high']:+.2f}]"
    return f"{kind} (n = {row['samples']})\n{DIFFERENCE}: {row['relative_attention']:+.2f}\n{limits}"
