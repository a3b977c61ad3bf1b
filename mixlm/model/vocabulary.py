"""Growing a language model's vocabulary by a method's tokens."""

import sys
from array import array
from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import islice
from typing import TYPE_CHECKING

import torch

from mixlm.errors import InputError
from mixlm.model.abilities import tried
from mixlm.model.special_tokens import SpecialIds, add_project_tokens, special_ids


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast


_AT_ONCE = 2**16  # tokens whose rows are looked up together: all of a large file would fill the memory
MOST_CHUNKS = 500_000  # that rows start from; more would not move them


def extend_vocabulary(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    names: Sequence[str],
    seed: int = 0,
    noise: float = 1.0,
) -> list[int]:
    """Add the tokens ``names`` to tokenizer and model, in place.

    Matrices never shrink: a checkpoint may have spare rows, and they are used first. Every new row, in all that has
    one for each token, is the mean of the old rows plus normal noise, so that no two are alike. Tokens that are there
    already keep their rows. Where a base model has tokens of these names itself, those stay its own, and what is added
    has other names.

    Args:
        model: Any causal LM of transformers, its head tied or not.
        tokenizer: Its tokenizer.
        names: Tokens to add, in the order of their ids.
        seed: Seed of the noise.
        noise: Its size, in standard deviations of the old rows.

    Returns:
        The ids of the tokens that are new.

    Raises:
        InputError: If the tokenizer already holds latents of a codebook of another size, or the model cannot grow.
    """
    wanted = SpecialIds.from_names(-1, {name: index for index, name in enumerate(names)}).codebook_size
    special = special_ids(tokenizer)
    held = special.codebook_size
    if wanted and held and wanted != held:
        raise InputError(
            f"the model already has latents of a codebook of {held}, the data has {wanted}; "
            f"start from the base model, or encode the data with --codebook-size {held}"
        )
    text_rows = len(tokenizer) - len(special.present())
    new = add_project_tokens(tokenizer, names)
    rows, per_layer = vocabulary_size(tokenizer), per_layer_table(model)
    last = max(special_ids(tokenizer).present(), default=-1)
    held = sys.maxsize if per_layer is None else len(per_layer.weight)  # fewer than there are tokens, in some
    if rows > min(map(len, matrices(model))) or last >= held:
        _resize(model, max(rows, getattr(model.config.get_text_config(), "vocab_size", 0)))
        if per_layer is not None:
            grown = per_layer_table(model).weight.detach()
            grown[held:] = grown[0]  # which such a model reads for ids beyond the table
    _start_rows(model, new, text_rows, seed, noise)
    _end_with(model, tokenizer.eos_token_id)
    return new


def vocabulary_size(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return one more than the highest id: more than there are tokens, where ids are left out."""
    return max(tokenizer.get_vocab().values()) + 1


def _resize(model: "PreTrainedModel", rows: int) -> None:
    """Give a model ``rows`` tokens, in place.

    Where its input matrix has more rows than its configuration has tokens, those stay the last.

    Raises:
        InputError: If transformers cannot do so, or what is saved of the model then would not open.
    """
    config, table = model.config.get_text_config(), model.get_input_embeddings().weight.detach()
    beyond = table[getattr(config, "vocab_size", len(table)) :].clone()
    try:
        model.resize_token_embeddings(rows, mean_resizing=False)
    except Exception as error:  # whatever is wrong with the type
        reason = " ".join(str(error).split())
        raise InputError(f"a model of type '{config.model_type}' cannot have new tokens: {reason}") from None
    if len(beyond):
        embedding = model.get_input_embeddings()
        embedding.weight = torch.nn.Parameter(torch.cat([embedding.weight.detach(), beyond]))
        embedding.num_embeddings += len(beyond)
    if hasattr(config, "decoder_vocab_size"):
        config.decoder_vocab_size = rows
    _require_all_grown(model)


def _require_all_grown(model: "PreTrainedModel") -> None:
    """Raise an ``InputError`` if a weight has another form than one of the model's configuration would have."""
    try:
        with torch.random.fork_rng(), torch.device("meta"):
            expected = type(model)(deepcopy(model.config)).state_dict()
    except Exception:  # a type that cannot be made without memory tells nothing
        return
    for name, values in model.state_dict().items():
        if name in expected and expected[name].shape != values.shape:
            raise InputError(
                f"a model of type '{model.config.model_type}' cannot have new tokens: {name} does not grow with them; "
                "choose another model, or one with spare rows in its vocabulary"
            )


def matrices(model: "PreTrainedModel") -> list[torch.nn.Parameter]:
    """Return the input and the output matrix of a causal LM, each ``(rows, width)``; one if they are tied."""
    found = [model.get_input_embeddings().weight]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not found[0]:
        found.append(head.weight)
    return found


def per_layer_table(model: "PreTrainedModel") -> torch.nn.Module | None:
    """Return what looks up the vectors that some types add in every layer, by the same ids as the input matrix."""
    try:
        return model.get_per_layer_input_embeddings()
    except AttributeError:  # other types, or a model of such a type without them
        return None


def tables(model: "PreTrainedModel") -> list[torch.nn.Parameter]:
    """Return all that has a row for each token: the matrices, and a table for all layers if there is one."""
    per_layer = per_layer_table(model)
    return [*matrices(model), *([] if per_layer is None else [per_layer.weight])]


@torch.no_grad()
def reads_rows(model: "PreTrainedModel", ids: Sequence[int]) -> bool:
    """Tell whether a model looks up the tokens ``ids`` in its input matrix; some have the last ones from elsewhere."""
    matrix, old, rows = model.get_input_embeddings().weight, min(ids), [min(ids), max(ids)]
    own, given = matrix[rows].clone(), torch.tensor(rows, device=model.device)[:, None]
    with tried(model):
        try:
            before = model(input_ids=given, use_cache=False).logits[..., :old]  # a tied head moves the others
            matrix[rows] += matrix[:old].std() * torch.linspace(-1, 1, matrix.shape[1]).to(matrix)
            after = model(input_ids=given, use_cache=False).logits[..., :old]
        except IndexError:
            return False
        finally:
            matrix[rows] = own
    return not any(map(torch.equal, before, after))


def biases(model: "PreTrainedModel") -> list[torch.nn.Parameter]:
    """Return the bias of the output matrix (rows,), if it has one."""
    bias = getattr(model.get_output_embeddings(), "bias", None)
    return [] if bias is None else [bias]


@torch.no_grad()
def _start_rows(model: "PreTrainedModel", new: Sequence[int], text_rows: int, seed: int, noise: float) -> None:
    """Set the rows ``new`` to the mean of the first ``text_rows`` plus ``noise`` deviations; biases to their mean."""
    generator = torch.Generator().manual_seed(seed)
    for matrix in tables(model):
        old = matrix[:text_rows].float()
        sample = torch.randn(len(new), matrix.shape[1], generator=generator).to(matrix.device)
        matrix[list(new)] = (old.mean(0) + noise * sample * old.std(0)).to(matrix.dtype)
    for bias in biases(model):  # that of a spare row was trained to keep it unwritten
        bias[list(new)] = bias[:text_rows].mean()


@torch.no_grad()
def start_from_text(
    model: "PreTrainedModel", new: Sequence[int], special: SpecialIds, chunks: Iterable[tuple[int, Sequence[int]]]
) -> None:
    """Move the new rows of latents to the rows of the text that they stand for, in place.

    A latent's row becomes the mean of the rows of all tokens of its chunks, centred over the latents, stretched until
    their standard deviation is that of the old rows, and put around the mean of those; a tenth of what
    ``extend_vocabulary`` added as noise stays, so that no two are alike. That holds for the input and the output
    matrix. Latents without a chunk keep their rows. Not in the papers, which do not say where new rows start.

    Args:
        model: Extended by ``extend_vocabulary``.
        new: The rows that are new; others are left alone.
        special: Ids of the tokens.
        chunks: Codes, each with the ids of a chunk, all of the same length or not; the first ``MOST_CHUNKS`` count.
    """
    added, latents, tokens = set(new), array("q"), array("q")
    for code, ids in islice(chunks, MOST_CHUNKS):
        if (latent := special.latent(code)) in added:
            latents.extend([latent] * len(ids))
            tokens.extend(map(int, ids))
    if not tokens:
        return
    rows, owner, counts = torch.tensor(latents).unique(return_inverse=True, return_counts=True)
    parts = [*zip(owner.split(_AT_ONCE), torch.tensor(tokens).split(_AT_ONCE), strict=True)]
    for matrix in tables(model):
        held = matrix.detach().float().cpu()
        means = torch.zeros(len(rows), held.shape[1])
        for mine, ids in parts:
            means.index_add_(0, mine, held[ids])
        _spread_rows(matrix, rows, means / counts[:, None], min(added))


@torch.no_grad()
def start_from_codes(
    model: "PreTrainedModel", new: Sequence[int], special: SpecialIds, vectors: torch.Tensor, seed: int = 0
) -> None:
    """Move the new rows of latents to places that lie to each other as the vectors of their codes do, in place.

    The vectors are turned into the model's width by a random orthogonal map, which keeps every angle and every ratio
    of distances (from more coordinates to fewer: about), centred, and stretched as by ``start_from_text``, with the
    same tenth of noise. Codes whose texts stage 1 takes for alike thus start near each other. Input and output matrix
    have the same map. Not in the papers.

    Args:
        model: Extended by ``extend_vocabulary``.
        new: The rows that are new; others are left alone.
        special: Ids of the tokens.
        vectors: (K, d) codebook vectors of stage 1.
        seed: Of the map.
    """
    codes = [code for code in range(len(vectors)) if special.latent(code) in set(new)]
    if not codes:
        return
    rows = torch.tensor([special.latent(code) for code in codes])
    for matrix in tables(model):
        turn = torch.empty(vectors.shape[1], matrix.shape[1])
        torch.nn.init.orthogonal_(turn, generator=torch.Generator().manual_seed(seed))
        _spread_rows(matrix, rows, vectors[codes].float().cpu() @ turn, min(new))


def _spread_rows(matrix: torch.Tensor, rows: torch.Tensor, places: torch.Tensor, old_rows: int) -> None:
    """Set ``rows`` of a matrix to ``places`` (rows, width), centred and stretched to lie as its old rows do.

    Their standard deviation becomes that of the first ``old_rows``, their mean the mean of those. A tenth of how each
    row lay apart from that mean stays.
    """
    held = matrix.detach().float().cpu()
    old = held[:old_rows]
    apart = places - places.mean(0)
    stretch = old.std(0).norm() / apart.std(0, correction=0).norm().clamp(min=1e-12)
    started = old.mean(0) + stretch * apart + 0.1 * (held[rows] - old.mean(0))
    matrix[rows.to(matrix.device)] = started.to(matrix.device, matrix.dtype)


def _end_with(model: "PreTrainedModel", eos: int) -> None:
    """Let plain ``generate`` stop at the end of our solutions too, beside the model's own ends."""
    ends = model.generation_config.eos_token_id
    ends = [ends] if isinstance(ends, int) else list(ends or [])
    if eos not in ends:
        model.generation_config.eos_token_id = [*ends, eos] if ends else eos
        # as published but for this, or what transformers only warns of in it would be an error when it is saved
        model.generation_config._original_object_hash = hash(model.generation_config)
