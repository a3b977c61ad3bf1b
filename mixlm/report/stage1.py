"""The stage 1 that a run learned from: its model, its figures, and the codes that it gives to rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlm.data.tables import Row, row_table
from mixlm.encoding.dataset import load_encoded, open_vqvae
from mixlm.encoding.manifest import is_encoded
from mixlm.encoding.shard_files import encode_table
from mixlm.encoding.tokens.token_tables import TokenTable
from mixlm.evaluation.inputs import same_codebook
from mixlm.methods.base import recoded
from mixlm.run import Run
from vqvae import PARTS


@dataclass(frozen=True)
class Stage1:
    """What is there of stage 1.

    Attributes:
        path: Folder of the encoded dataset; None: it is not there, or it was encoded by another codebook.
        vqvae_path: Folder of its model; None: it is not there.
        manifest: Of the encoded dataset; None: it is not there.
        missing: Why there is no manifest, in a line; empty if there is one.
    """

    path: Path | None
    vqvae_path: Path | None
    manifest: dict[str, Any] | None
    missing: str = ""


def encoded_data(run: Run, given: str | Path | None = None) -> list[Path]:
    """Return the encoded datasets that a run may have learned from, the likeliest first; see ``stage1_of``."""
    told = run.arguments.get("data")
    beside = run.path.absolute().parent / Path(told).name if told else None
    return [Path(place) for place in (told, beside, given) if place and is_encoded(place)]


def stage1_of(run: Run, given: str | Path | None = None) -> Stage1:
    """Find the encoded dataset that a run learned from, and its stage-1 model.

    Args:
        run: A run whose method needs codes.
        given: Rows that the user gave, which may be that dataset where it is neither where it was when the run was
            trained, nor beside the run.
    """
    places = encoded_data(run, given)
    if not places:
        told = run.arguments.get("data")
        return Stage1(None, run.vqvae_path, None, f"the encoded data ({told}) are not here; give them by --data")
    found = next((place for place in places if same_codebook(run, place)), places[0])
    if not same_codebook(run, found):
        return Stage1(None, run.vqvae_path, None, f"{found} was encoded by another codebook than that of {run.path}")
    data = load_encoded(found)
    return Stage1(found, run.vqvae_path or data.vqvae_path, data.manifest)


def coded(rows: Sequence[Row], run: Run, vqvae_path: Path | None) -> list[Row] | None:
    """Return rows with the codes that a run's method gives their traces, or None if nobody knows them.

    Args:
        rows: Tokenized rows, with or without codes.
        run: The run.
        vqvae_path: Folder of the stage-1 model that encodes rows without codes.
    """
    rows = list(rows)
    if not rows or not run.method.needs_codes:
        return None
    if "codes" not in rows[0]:
        if vqvae_path is None:
            return None
        names = ("row", *PARTS, "step_lengths")
        table = row_table([{name: row[name] for name in names} for row in rows])
        found, _ = encode_table(open_vqvae(vqvae_path), TokenTable(table, 0))
        codes, ends = found["codes"].to_pylist(), found["code_ends"].to_pylist()
        rows = [{**row, "codes": own, "code_ends": end} for row, own, end in zip(rows, codes, ends, strict=True)]
    return recoded(rows, run.method)
