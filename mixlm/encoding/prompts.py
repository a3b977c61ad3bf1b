"""How much of a prompt stage 1 reads."""

from collections.abc import Callable, Sequence
from copy import copy

from mixlm.encoding.options import LONGEST_PROMPT
from vqvae.model.chunks import TokenRow
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.options import PAPERS_CODES


def for_prompts(
    config: ChunkVQVAEConfig, rows: Sequence[TokenRow], given: bool, say: Callable[[str], None]
) -> ChunkVQVAEConfig:
    """Return a configuration with room for the prompts of ``rows``.

    Where codes predict from the prompt it is read whole, up to ``LONGEST_PROMPT``; a model that reads codes back alone
    keeps its own length, which is the paper's g(P) in our sizes.

    Args:
        config: The shape.
        rows: Tokenized training rows.
        given: Whether somebody said how many tokens of a prompt are read; then so many are.
        say: Told in one line how many prompts are longer.
    """
    lengths, config = [len(row["prompt_ids"]) for row in rows], copy(config)
    if not given and config.objective != PAPERS_CODES["objective"]:
        config.max_prompt_length = min(max(config.max_prompt_length, *lengths), LONGEST_PROMPT)
    most = config.max_prompt_length
    cut = sum(length > most for length in lengths) if config.condition_on_prompt else 0
    if cut:
        say(
            f"note: {cut} of {len(lengths)} prompts are longer than {most} tokens, of which stage 1 reads the last "
            f"{most}; --max-prompt-length lets it read more"
        )
    return config
