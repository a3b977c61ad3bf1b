"""How good a codebook is, on rows that it has not learned from where there are any."""

from collections.abc import Sequence

from mixlm.encoding.tokens.sharding import Sharding
from mixlm.encoding.tokens.token_tables import TokenRows, TokenTables
from vqvae import evaluate_vqvae, probe_codes
from vqvae.advance import Advance
from vqvae.model.chunks import TokenRow, chunks_of, has_chunk
from vqvae.model.coder import ChunkCoder
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.training.merge import USES
from vqvae.training.probe import ProbeTraining


MEASURED = 1000  # rows on which the codebook is measured
PROBED_SHARDS = 10  # from whose rows the model learns that judges the codes


def measure(
    vqvae: ChunkCoder, tables: TokenTables, sharding: Sharding, probe: ProbeTraining | None, advance: Advance | None
) -> dict[str, float | str]:
    """Return what is known of a codebook.

    Args:
        vqvae: The stage-1 model.
        tables: Have the rows.
        sharding: Tells in which shards.
        probe: How the model is trained that tells what the codes carry for the rest and how well they are foretold;
            None, or without a step: that is not told.
        advance: Called with (step, steps) of that training.

    Returns:
        Figures as of ``evaluate_vqvae`` and ``probe_codes``; ``measured_on``, the split of the rows; of merged codes
        ``codes_trained`` and ``codes_merged``, how many there were and are.
    """
    split, rows = rows_to_measure(tables, sharding, vqvae.config)
    whole = [row for row in rows if has_chunk(row, vqvae.config)][:MEASURED]
    figures = {**evaluate_vqvae(vqvae, whole), "measured_on": split}
    if vqvae.config.trained_codes:
        figures |= {"codes_trained": vqvae.config.trained_codes, "codes_merged": vqvae.config.codebook_size}
    if probe is None or not probe.steps:
        return figures
    learned = TokenRows(table.rows for table in tables.tables(sharding.shards("train")[:PROBED_SHARDS]))
    return figures | {"probe_steps": probe.steps} | probe_codes(vqvae, learned, whole, probe, advance)


def rows_to_merge(tables: TokenTables, sharding: Sharding, config: ChunkVQVAEConfig) -> Sequence[TokenRow]:
    """Return the rows by whose loss codes are merged: held-out ones, and training ones where those are too few."""
    split, rows = rows_to_measure(tables, sharding, config)
    wanted = USES * config.codebook_size - sum(chunks_of(row, config) for row in rows)
    if split == "train" or wanted <= 0:
        return rows
    return [*rows, *rows_to_measure(tables, sharding, config, ("train",))[1]]


def rows_to_measure(
    tables: TokenTables, sharding: Sharding, config: ChunkVQVAEConfig, splits: Sequence[str] = ("valid", "train")
) -> tuple[str, TokenRows]:
    """Return the first validation rows, or training rows if no validation trace has a whole chunk, and the split.

    Shards without a whole chunk are passed over.
    """
    for split in splits:
        chosen, left = [], MEASURED
        for table in tables.tables(sharding.shards(split)):
            if any(has_chunk(row, config) for row in TokenRows([table.rows])):
                chosen.append(table.rows)
                left -= table.rows.num_rows
            if left <= 0:
                break
        if chosen:
            break
    return split, TokenRows(chosen)
