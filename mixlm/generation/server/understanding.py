"""Whether a server has the run's weights, and means by ids and by vectors what the run does."""

from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

from mixlm.damage import RUN_RECORD, is_light, listed_sums
from mixlm.errors import InputError
from mixlm.generation.engine import Engine
from mixlm.generation.server.completions import Completions, Form, Written, as_field
from mixlm.generation.server.start import vectors_of


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mixlm.run import Run

_ELSEWHERE = ("//", "\\\\")  # begins a path that Windows looks for on another host, which a server is not to choose
_NEAR = 0.05  # of two logarithms of probability: rounding in bf16, and a batch of other requests, bring no more about
_NO_TIE = 0.55  # a token of this probability is the likeliest, whatever the rounding


def require_same_weights(model: Completions, run: "Run") -> None:
    """Find out whether what a server says that it serves is another run: one whose folder can be looked at here.

    Ids and texts do not tell: runs that are compared have the same tokenizer.

    Raises:
        InputError: If it is.
    """
    source, own = model.source, _weights(run.path)
    if source.startswith(_ELSEWHERE):
        return
    if source and own and (other := _weights(Path(source))) and other != own:
        raise InputError(
            f"{model.server.url}: serves {source}, which has other weights than {run.path}; let it serve this run, or "
            "say by --served-model that it does"
        )


def _weights(folder: Path) -> dict[str, str]:
    """Return the checksums of the weights that a run lists; none of what is no run here."""
    return {name: value for name, value in listed_sums(folder / RUN_RECORD).items() if not is_light(name)}


def require_same_vectors(model: Completions, engine: Engine, ids: Sequence[int]) -> None:
    """Find out whether a server makes of the vectors of a prompt what it makes of its ids: some scale those of tokens.

    Raises:
        InputError: If it does not.
    """
    asked = {"max_tokens": 1, "temperature": 0, "logprobs": 0}
    first = model.complete({"prompt": [*ids], **asked}, Form())
    second = model.complete({"prompt_embeds": as_field(vectors_of(ids, engine)), **asked}, Form())
    apart = abs(first.logprobs[0] - second.logprobs[0]) > _NEAR
    if apart or (first.ids != second.ids and exp(first.logprobs[0]) > _NO_TIE):
        raise InputError(
            f"{model.server.url}: does not read vectors as the model here does, so it would not understand thoughts; "
            "let it serve this run, or leave out --endpoint"
        )


def require_same_tokens(model: Completions, tokenizer: "PreTrainedTokenizerBase", written: Written) -> None:
    """Find out whether a server writes for ids the text that the run's tokenizer does, white space apart.

    Raises:
        InputError: If it does not.
    """
    own = _letters(tokenizer.decode(written.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    if not own.startswith(_letters(written.text)):  # which ends before the token at which it stopped
        raise InputError(
            f"{model.server.url}: writes other text for token ids than the run's tokenizer does; let it serve this run"
        )


def _letters(text: str) -> str:
    """Return a text without white space, and without what parts of a character are shown as."""
    return "".join(text.replace("\ufffd", "").split())
