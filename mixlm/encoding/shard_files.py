"""The Parquet files of an encoded dataset, each written in one step with figures about it."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

from mixlm.data.tables import PARTS, list_array, lists_of
from mixlm.data.texts.responses import FIGURE
from mixlm.encoding.tokens.token_tables import TokenTable
from mixlm.errors import InputError
from vqvae import Cutting
from vqvae.atomic_files import whole_file, whole_path
from vqvae.checksums import file_sum
from vqvae.model.coder import ChunkCoder


COUNTS = "mixlm.counts"
CODES = ("codes", "code_ends")  # columns, after all others


def encode_table(vqvae: ChunkCoder, table: TokenTable) -> tuple[pyarrow.Table, dict[str, int]]:
    """Return tokenized rows with their ``codes`` and ``code_ends``, and figures about them; see ``count_table``."""
    (ids, lengths), stretches = lists_of(table.rows, "trace_ids"), stretches_of(table, vqvae.config.cutting)
    codes, ends = vqvae.encode_flat(ids, lengths, stretches), vqvae.config.cutting.ends(stretches)
    row = np.searchsorted(np.cumsum(lengths), ends - 1, side="right")
    counts = np.bincount(row, minlength=len(lengths))
    rows = table.rows.append_column("codes", list_array(codes, counts))
    rows = rows.append_column("code_ends", list_array(ends - (np.cumsum(lengths) - lengths)[row], counts))
    return rows, count_table(table, vqvae.config.cutting)


def stretches_of(table: TokenTable, cutting: Cutting) -> np.ndarray:
    """Return the lengths of the stretches of all traces, in order; see ``Cutting``."""
    return lists_of(table.rows, "step_lengths")[0] if cutting.align == "step" else lists_of(table.rows, "trace_ids")[1]


def count_table(table: TokenTable, cutting: Cutting) -> dict[str, int]:
    """Count tokenized rows.

    Args:
        table: The rows.
        cutting: Tells where chunks are.

    Returns:
        ``samples``; ``skipped_rows``, the malformed ones; ``trace_tokens``, ``chunks`` and ``codes`` of all traces;
        ``empty_traces``; ``short_traces``, those of some tokens but no chunk; ``steps`` that have any token, and
        ``long_steps``, those of more than a chunk; ``longest``, the tokens of prompt, trace and solution of the
        longest sample; and of each rule that found answers, named after ``FIGURE``, how many.
    """
    prompts, traces, solutions = (lists_of(table.rows, part)[1] for part in PARTS)
    steps, _ = lists_of(table.rows, "step_lengths")
    chunks = int(cutting.count_chunks(stretches_of(table, cutting)).sum())
    whole = cutting.chunk_length if cutting.align == "fixed" else 1
    figures = {
        "samples": len(traces),
        "skipped_rows": table.skipped,
        "trace_tokens": traces.sum(),
        "chunks": chunks,
        "codes": chunks * cutting.codes_per_chunk,
        "empty_traces": (traces == 0).sum(),
        "short_traces": ((traces > 0) & (traces < whole)).sum(),
        "steps": (steps > 0).sum(),
        "long_steps": (steps > cutting.chunk_length).sum(),
        "longest": (prompts + traces + solutions).max(initial=0),
    }
    figures |= {f"{FIGURE}{rule}": count for rule, count in table.rules.items()}
    return {name: int(figure) for name, figure in figures.items()}


def add_counts(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Return the figures of several shards together: of "longest" the largest, of all others the sum."""
    together = {"samples": 0, "skipped_rows": 0, "longest": 0}
    for shard in counts:
        for name, figure in shard.items():
            before = together.get(name, 0)
            together[name] = max(before, figure) if name == "longest" else before + figure
    return together


def write_shard(
    path: Path, rows: pyarrow.Table, counts: dict[str, int] | None = None, notes: Path | None = None
) -> None:
    """Write a Parquet file in one step: once it has its name, it is whole.

    Args:
        path: The file.
        rows: What it holds.
        counts: Figures about them, kept in the file.
        notes: Folder in which to keep the checksum; None: nowhere.
    """
    with whole_path(path) as draft:
        rows = rows.replace_schema_metadata({COUNTS: json.dumps(counts or {})})
        parquet.write_table(rows, draft, write_page_checksum=True)
    if notes:
        notes.mkdir(exist_ok=True)
        with whole_file(_note_of(path, notes)) as file:
            file.write(file_sum(path))


def read_shard(path: str | Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Read a Parquet file, or some of its columns; an ``InputError`` if it is damaged, as its pages tell."""
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: damaged ({reason}); encode again into another --out") from None


def remove_damaged(paths: Iterable[Path], notes: Path) -> None:
    """Remove those files that are not as ``write_shard`` noted them, so that they are written again."""
    for path in paths:
        if not is_noted(path, notes):
            path.unlink(missing_ok=True)


def is_noted(path: Path, notes: Path) -> bool:
    """Tell whether a file is there and as ``write_shard`` noted it."""
    try:
        return file_sum(path) == _note_of(path, notes).read_text(encoding="ascii")
    except (OSError, ValueError):
        return False


def _note_of(path: Path, notes: Path) -> Path:
    return notes / f"{path.name}.sha256"


def shard_counts(path: Path) -> dict[str, int]:
    """Return the figures that ``write_shard`` kept."""
    return json.loads(parquet.read_schema(path).metadata[COUNTS.encode()])


def align_columns(paths: Sequence[Path]) -> None:
    """Give all shards of a split the same columns; what a shard lacks is null there.

    Most have them already. A shard is written before it is known which columns a later one brings.

    Args:
        paths: The shards.
    """
    schemas: dict[Path, pyarrow.Schema] = {path: parquet.read_schema(path) for path in paths}
    own = dict.fromkeys(name for schema in schemas.values() for name in schema.names if name not in CODES)
    names = [*own, *CODES]
    for path, schema in schemas.items():
        if schema.names != names:
            table = read_shard(path)
            nothing = pyarrow.nulls(table.num_rows, pyarrow.string())
            columns = {name: table[name] if name in table.column_names else nothing for name in names}
            write_shard(path, pyarrow.table(columns), shard_counts(path))
