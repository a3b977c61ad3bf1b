"""Reading rows from files and the Hub."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixlm.errors import InputError


Row = dict[str, Any]


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
    path = Path(source)
    if path.is_file():
        readers = {".jsonl": _read_jsonl, ".json": _read_json, ".parquet": _read_parquet}
        if path.suffix not in readers:
            raise InputError(f"{path}: cannot read '{path.suffix}' files; give .jsonl, .json or .parquet")
        return readers[path.suffix](path)
    if path.suffix in (".jsonl", ".json", ".parquet"):
        raise InputError(f"{path}: no such file")
    return _read_dataset(str(source), split)


def _raised(numbered: tuple[str, Row | InputError]) -> tuple[str, Row]:
    where, row = numbered
    if isinstance(row, InputError):
        raise row
    return where, row


def _read_jsonl(path: Path) -> Iterator[tuple[str, Row | InputError]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(_decoded(path, lines), 1):
            if line.strip():
                where = f"{path}:{number}"
                yield where, _parsed(line, where)


def _decoded(path: Path, lines: Iterator[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as UTF-8") from None


def _parsed(line: str, where: str) -> Row | InputError:
    try:
        return _object(json.loads(line), where)
    except json.JSONDecodeError as error:
        return InputError(f"{where}: not valid JSON ({error.msg}); put one object on each line")


def _object(row: Any, where: str) -> Row | InputError:
    if isinstance(row, dict):
        return row
    return InputError(f"{where}: is no JSON object; each row is an object such as {{'question': .., 'steps': ..}}")


def _read_json(path: Path) -> Iterator[tuple[str, Row | InputError]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); for one object a line name it .jsonl") from None
    if not isinstance(rows, list):
        raise InputError(f"{path}: holds no list; a .json file must be a list of objects")
    for number, row in enumerate(rows, 1):
        where = f"{path}:{number}"
        yield where, _object(row, where)


def _read_parquet(path: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow
    from pyarrow import parquet

    try:
        batches = parquet.ParquetFile(path).iter_batches()
    except pyarrow.ArrowInvalid:
        raise InputError(f"{path}: not a Parquet file") from None
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield f"{path}:{number}", row


def _read_dataset(source: str, split: str) -> Iterator[tuple[str, Row]]:
    from datasets import load_dataset

    name, _, configuration = (source, "", "") if Path(source).is_dir() else source.partition(":")
    try:
        dataset = load_dataset(name, configuration or None, split=split)
    except Exception as error:  # datasets raises a dozen unrelated classes for "not there"
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{source}: no such file, dataset folder or Hub dataset with a split '{split}': {reason}"
        ) from None
    for number, row in enumerate(dataset, 1):
        yield f"{source}:{number}", row
