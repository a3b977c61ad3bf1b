"""Latents read back as text: what stage 1 decodes from them, and which chunks they stood for in the training data."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mixlm.encoding import USAGE
from mixlm.encoding.code_usage import read_usage
from mixlm.errors import InputError
from mixlm.generation.answerer import Answerer
from vqvae.model.vocabulary import ENDED


UNKNOWN_TEXT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Reading:
    """One latent, read back.

    Attributes:
        code: Its code.
        text: What the stage-1 decoder makes of it, given the prompt.
        probability: Mean probability of the tokens of ``text``, from 0 to 1: how sure the decoder is; of an empty text
            that it ends at once.
        chunks: Texts that the code most often stood for in the training data, each with its share of all that it stood
            for, most frequent first.
    """

    code: int
    text: str
    probability: float
    chunks: tuple[tuple[str, float], ...]


class LatentReader:
    """Reads the latents of a run's answers back.

    Attributes:
        in_place: Whether latents of an answer are read as they were trained: stage 1's decoder, where codes predict,
            reads one with all that stand before it in the trace, of which an answer that holds latents anywhere lacks
            those that it has as text.

    Args:
        answerer: The run.

    Raises:
        InputError: If the run holds no stage-1 model, or a damaged one.
    """

    def __init__(self, answerer: Answerer) -> None:
        run = answerer.run
        if run.vqvae_path is None:
            raise InputError(f"{run.path}: no vqvae folder, so no latents to explain; leave out --explain")
        from mixlm.encoding.dataset import open_vqvae

        self.tokenizer = answerer.tokenizer
        self.vqvae = open_vqvae(run.vqvae_path)
        self.usage = read_usage(run.vqvae_path / USAGE)
        self.in_place = run.method.spans == "prefix" or self.vqvae.config.objective == "reconstruction"

    def read(self, codes: Sequence[int], prompt_ids: Sequence[int]) -> list[Reading]:
        """Return the reading of each of ``codes``, which stand at the start of one answer to ``prompt_ids``.

        Codes are decoded chunk by chunk, L / r of them together. The last chunk may be incomplete: the decoder is
        causal, so what is missing changes nothing before it. A text shorter than r tokens is read up to its end.
        """
        if not codes:
            return []
        config = self.vqvae.config
        filled = [*codes, *[0] * (-len(codes) % config.codes_per_chunk)]
        prompt = torch.tensor([prompt_ids[-config.prompt_length :]])
        found = self.vqvae.read_codes(torch.tensor([filled]), prompt)
        ids, sure = (part.view(-1, config.compression_rate) for part in found)
        lengths = (ids != ENDED).sum(1).tolist()
        return [self._reading(*one) for one in zip(codes, ids, sure, lengths, strict=False)]  # no code that only fills

    def _reading(self, code: int, ids: torch.Tensor, sure: torch.Tensor, length: int) -> Reading:
        """Return the reading of a code whose text has ``length`` of r ids, with the probability of each."""
        sure = sure[: max(length, 1)]  # of no text at all: that it ends
        return Reading(code, self._text(ids[:length].tolist()), sure.mean().item(), self.usage.get(code, ()))

    def _text(self, ids: Sequence[int]) -> str:
        """Return ids as text, each run of tokens that stage 1 does not know as one replacement character."""
        text, known = "", []
        for token in [*ids, None]:
            if token is not None and token >= 0:
                known.append(token)
                continue
            text += self.tokenizer.decode(known, clean_up_tokenization_spaces=False) if known else ""
            text += UNKNOWN_TEXT if token is not None and not text.endswith(UNKNOWN_TEXT) else ""
            known = []
        return text
