"""How good a codebook is, on rows that it has not learned from where there are any."""

from collections.abc import Iterator, Sequence

from mixlm.encoding.tokens.sharding import Shard, Sharding
from mixlm.encoding.tokens.token_tables import TokenRows, TokenTables
from vqvae import evaluate_vqvae, probe_codes
from vqvae.advance import Advance
from vqvae.model.chunks import TokenRow, chunks_of, first_rows
from vqvae.model.coder import ChunkCoder
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.training.merge import MOST_ROWS, USES
from vqvae.training.probe import ProbeTraining


MEASURED = 1000  # rows on which the codebook is measured
PROBED = 100_000  # rows from which the model learns that judges the codes


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
    figures = {**evaluate_vqvae(vqvae, rows), "measured_on": split}
    if vqvae.config.trained_codes:
        figures |= {"codes_trained": vqvae.config.trained_codes, "codes_merged": vqvae.config.codebook_size}
    if probe is None or not probe.steps:
        return figures
    learned = rows_to_probe(tables, sharding)
    return figures | {"probe_steps": probe.steps} | probe_codes(vqvae, learned, rows, probe, advance)


def rows_to_merge(
    tables: TokenTables, sharding: Sharding, config: ChunkVQVAEConfig
) -> tuple[list[TokenRow], dict[str, int]]:
    """Return the rows by whose loss codes are merged, and how many of each split they are.

    They are held-out ones, and training ones after them where those have each code less than ``USES`` times.
    """
    found, counts, wanted = [], {}, USES * config.codebook_size
    for split in ("valid", "train"):
        most = MOST_ROWS - len(found)
        rows = first_rows(_rows_of(tables, sharding.shards(split)), config, most, wanted) if wanted > 0 else []
        counts[split] = len(rows)
        found, wanted = [*found, *rows], wanted - sum(chunks_of(row, config) for row in rows)
    return found, counts


def rows_to_measure(tables: TokenTables, sharding: Sharding, config: ChunkVQVAEConfig) -> tuple[str, list[TokenRow]]:
    """Return the first ``MEASURED`` rows with a whole chunk, and their split.

    They are validation rows, or training rows if no validation trace has one.
    """
    for split in ("valid", "train"):
        rows = first_rows(_rows_of(tables, sharding.shards(split)), config, MEASURED)
        if rows:
            break
    return split, rows


def _rows_of(tables: TokenTables, shards: Sequence[Shard]) -> Iterator[TokenRow]:
    """Yield the rows of shards, one table after the other."""
    return (row for table in tables.tables(shards) for row in TokenRows([table.rows]))


def rows_to_probe(tables: TokenTables, sharding: Sharding) -> TokenRows:
    """Return the first ``PROBED`` training rows, whatever shards they lie in; they stay where they are."""
    chosen, left = [], PROBED
    for table in tables.tables(sharding.shards("train")):
        chosen.append(table.rows.slice(0, left))
        left -= chosen[-1].num_rows
        if not left:
            break
    return TokenRows(chosen)
