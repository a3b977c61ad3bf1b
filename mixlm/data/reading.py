"""Reading rows from files and the Hub."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixlm.errors import InputError


Row = dict[str, Any]
BOM = codecs.BOM_UTF8
KINDS = (".jsonl", ".json", ".parquet")


def read_rows(source: str | Path, split: str = "train") -> Iterator[tuple[str, Row]]:
    """Yield the rows of ``source``, each with a name for error messages such as ``traces.jsonl:17``.

    Args:
        source: A ``.jsonl``, ``.json`` (a list of objects) or ``.parquet`` file, a folder that ``datasets`` can load,
            or a Hub dataset id, with ``:NAME`` after it for one of its configurations.
        split: Of a folder or Hub dataset.

    Raises:
        InputError: If there is nothing to read, or a row is no JSON object.
    """
    return map(_raised, try_rows(source, split))


def try_rows(source: str | Path, split: str = "train") -> Iterator[tuple[str, Row | InputError]]:
    """Yield the rows of ``source`` as ``read_rows`` does, with the error in place of a row that is no JSON object.

    Args:
        source: See ``read_rows``.
        split: See ``read_rows``.

    Raises:
        InputError: If there is nothing to read.
    """
    kind = kind_of(source)
    if kind == "dataset":
        return _read_dataset(str(source), split)
    return {".jsonl": _read_jsonl, ".json": _read_json, ".parquet": _read_parquet}[kind](Path(source))


def kind_of(source: str | Path) -> str:
    """Return how ``source`` is read: ".jsonl", ".json", ".parquet", or "dataset" for a folder or Hub dataset.

    Raises:
        InputError: If it is a file of another kind, or such a file is not there.
    """
    path = Path(source)
    if path.is_file() and path.suffix not in KINDS:
        raise InputError(f"{path}: cannot read '{path.suffix}' files; give .jsonl, .json or .parquet")
    if not path.is_file() and path.suffix in KINDS:
        raise InputError(f"{path}: no such file")
    return path.suffix if path.is_file() else "dataset"


def _raised(numbered: tuple[str, Row | InputError]) -> tuple[str, Row]:
    where, row = numbered
    if isinstance(row, InputError):
        raise row
    return where, row


def _read_jsonl(path: Path) -> Iterator[tuple[str, Row | InputError]]:
    for number, line in json_lines(path):
        where = f"{path}:{number}"
        yield where, parse_line(line, where)


def json_lines(path: Path, offset: int = 0, number: int = 1) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, each with its number.

    Args:
        path: The file.
        offset: Byte at which a line begins.
        number: Number of that line.
    """
    with path.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if not line.isspace():
                yield number, line
            number += 1


def parse_line(line: bytes, where: str) -> Row | InputError:
    """Read one line as a JSON object; return the error where it is none."""
    try:
        return as_row(json.loads(line.removeprefix(BOM).decode()), where)
    except UnicodeDecodeError:
        return InputError(f"{where}: not UTF-8 text; save the file as UTF-8")
    except json.JSONDecodeError as error:
        return InputError(f"{where}: not valid JSON ({error.msg}); put one object on each line")


def as_row(row: Any, where: str) -> Row | InputError:
    """Return a value of JSON if it is an object, else the error."""
    if isinstance(row, dict):
        return row
    return InputError(f"{where}: is no JSON object; each row is an object such as {{'question': .., 'steps': ..}}")


def _read_json(path: Path) -> Iterator[tuple[str, Row | InputError]]:
    for number, row in enumerate(load_list(path), 1):
        where = f"{path}:{number}"
        yield where, as_row(row, where)


def load_list(path: Path) -> list[Any]:
    """Read a file that holds a JSON list.

    Raises:
        InputError: If it holds none.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); for one object a line name it .jsonl") from None
    if not isinstance(rows, list):
        raise InputError(f"{path}: holds no list; a .json file must be a list of objects")
    return rows


def _read_parquet(path: Path) -> Iterator[tuple[str, Row]]:
    number = 0
    for batch in open_parquet(path).iter_batches():
        for row in batch.to_pylist():
            number += 1
            yield f"{path}:{number}", row


def open_parquet(path: Path) -> Any:
    """Open a Parquet file.

    Raises:
        InputError: If it is none.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid:
        raise InputError(f"{path}: not a Parquet file") from None


def _read_dataset(source: str, split: str) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(load_split(source, split), 1):
        yield f"{source}:{number}", row


def load_split(source: str, split: str) -> Any:
    """Open a folder or Hub dataset.

    Raises:
        InputError: If there is none, or no such split.
    """
    from datasets import load_dataset

    name, _, configuration = (source, "", "") if Path(source).is_dir() else source.partition(":")
    try:
        return load_dataset(name, configuration or None, split=split)
    except Exception as error:  # datasets raises a dozen unrelated classes for "not there"
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{source}: no such file, dataset folder or Hub dataset with a split '{split}': {reason}"
        ) from None
