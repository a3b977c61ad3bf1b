"""How much of a prompt stage 1 reads."""

from collections.abc import Callable, Sequence

from vqvae.model.chunks import TokenRow
from vqvae.model.config import ChunkVQVAEConfig


def tell_cut_prompts(config: ChunkVQVAEConfig, rows: Sequence[TokenRow], say: Callable[[str], None]) -> None:
    """Say in one line how many prompts are longer than what stage 1 reads of them, if any are.

    Args:
        config: Of the model that is trained.
        rows: Tokenized training rows.
        say: Told.
    """
    most = config.prompt_length
    cut = sum(len(row["prompt_ids"]) > most for row in rows) if config.condition_on_prompt else 0
    if cut:
        say(
            f"note: {cut} of {len(rows)} prompts are longer than {most} tokens, of which stage 1 reads the last "
            f"{most}; --max-prompt-length lets it read more"
        )
