"""Rows of dataset folders and of datasets of the Hub, as the datasets library reads them."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.damage import RUN_RECORD
from mixlm.data.formats.arrow_rows import check_columns, rows_of
from mixlm.data.formats.raw_rows import STRIDE, RawRow, RawRows
from mixlm.data.values import DEEPEST, as_row, depth_of
from mixlm.errors import InputError


if TYPE_CHECKING:
    from datasets import Dataset

TRAIN = "train"  # the split of a source that names none
_NAME = re.compile(r"[\w.-]+")
_SAFE = 500  # lists and objects within each other, which every reader of JSON takes


class DatasetRows(RawRows):
    """Rows of a dataset folder or a dataset of the Hub."""

    def __init__(self, source: str, split: str | None) -> None:
        self.source, self.data = source, _undecoded(_load_split(source, split))
        check_columns(self.data.features.arrow_schema, source)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.data)

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, str, RawRow | InputError]]:
        """Select some rows at a time."""
        for start in range(0, len(numbers), STRIDE):
            chosen = [int(number) for number in numbers[start : start + STRIDE]]
            names = [f"{self.source}:{number + 1}" for number in chosen]
            yield from zip(chosen, names, self._rows(self.data.select(chosen), names), strict=True)

    def _rows(self, part: "Dataset", names: Sequence[str]) -> list[RawRow | InputError]:
        """Return rows as the dataset decodes them, or as they are stored where Python cannot hold what it decodes."""
        try:
            return [as_row(row, name) for row, name in zip(part, names, strict=True)]
        except (ValueError, OverflowError, LookupError):
            batches = part.with_format("arrow")[:].combine_chunks().to_batches()
            return [row for batch in batches for row in rows_of(batch, names)]


def parts_of(source: str) -> tuple[str, str, str]:
    """Return folder, file or Hub id of a source, and the names of its configuration and its split, "" without."""
    if Path(source).exists():
        return source, "", ""
    told, mark, split = source.rpartition("@")
    told, split = (told, split) if mark and _NAME.fullmatch(split) else (source, "")
    if Path(told).exists():
        return told, "", split
    name, _, configuration = told.partition(":")
    return name, configuration, split


def _undecoded(data: "Dataset") -> "Dataset":
    """Leave pictures and sounds as they are stored: nobody looks at them, and to open them takes other libraries."""
    for name, feature in data.features.items():
        if (stored := _stored(feature)) != feature:
            data = data.cast_column(name, stored)
    return data


def _stored(feature: Any) -> Any:
    """Return the type of a column with that of pictures and sounds in it as they are stored.

    Values of many types are stored as texts of JSON, which are to be read.
    """
    if isinstance(feature, dict):
        return {name: _stored(inner) for name, inner in feature.items()}
    if isinstance(feature, list):
        return [_stored(inner) for inner in feature]
    if (inner := getattr(feature, "feature", None)) is not None:
        return replace(feature, feature=_stored(inner))
    media = hasattr(feature, "decode") and type(feature).__name__ != "Json"
    return type(feature)(decode=False) if media else feature


def _load_split(source: str, split: str | None) -> "Dataset":
    import datasets

    name, configuration, own = parts_of(source)
    if own and split not in (own, None):
        raise InputError(f"{source}: names the split '{own}', and --split '{split}'; give one of them")
    if not configuration and Path(name).is_dir():
        if (Path(name) / RUN_RECORD).is_file():
            raise InputError(f"{source}: is a run of mixlm-train and holds no rows; give the file that holds them")
        _check_files(Path(name))
    logger = logging.getLogger("datasets")  # which tells in lines of its own what is raised, too
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return datasets.load_dataset(name, configuration or None, split=own or split or TRAIN)
    except Exception as error:  # datasets raises a dozen unrelated classes for "not there"
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise InputError(
            f"{source}: no such file, dataset folder or Hub dataset with a split '{own or split or TRAIN}' "
            f"({source.removesuffix('@' + own)}@NAME has the split NAME): {reason}"
        ) from None
    finally:
        logger.setLevel(before)


def _check_files(folder: Path) -> None:
    """Find out what the datasets library would not tell of files: it drops columns, and ends the process at brackets.

    Raises:
        InputError: If there are two columns of a name in a Parquet file, or JSON is nested too deep.
    """
    from pyarrow import parquet

    for path in sorted(folder.rglob("*.parquet")):
        try:
            schema = parquet.read_schema(path)
        except Exception:  # what is damaged is told by the library
            continue
        check_columns(schema, str(path))
    for path in sorted([*folder.rglob("*.json"), *folder.rglob("*.jsonl")]):
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.count(b"[") + line.count(b"{") > _SAFE and depth_of(line.decode(errors="replace")) > _SAFE:
                    raise InputError(
                        f"{path}:{number}: nested too deep; {DEEPEST} lists and objects within each other are the most"
                    )
