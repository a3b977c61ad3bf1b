"""Damage, told before what is damaged is used: a run and an encoded dataset list the checksums of their files."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mixlm.errors import InputError
from vqvae.atomic_files import write_sealed
from vqvae.checksums import SUMS, below, changes, sums_of, unsealed


RUN_RECORD = "mixlm.json"
RECORDS = (RUN_RECORD, "manifest.json")  # of a run, of an encoded dataset: what lists the checksums
WEIGHTS = ".safetensors"
_DECISIVE = (WEIGHTS, ".json", ".jinja", ".model", ".py", ".parquet")  # endings of what decides a result


def folder_sums(base: Path, folders: Iterable[str] = ("",)) -> dict[str, str]:
    """Return the checksums of what decides a result, of all that lies directly in some folders of ``base``.

    A card, a log, the curve of a training and what is hidden decide nothing; a record cannot list itself.
    """
    inside = [file for folder in folders for file in (base / folder).glob("*") if file.is_file()]
    named = [file for file in inside if file.suffix in _DECISIVE and not file.name.startswith(".")]
    return sums_of(base, [file for file in named if file.parent != base or file.name not in RECORDS])


def require_whole(folder: str | Path, wanted: Callable[[str], bool] = lambda name: True) -> None:
    """Look at the files directly in ``folder``, if they belong to a run or an encoded dataset that lists them.

    What others have written lists none, and of that nothing is told.

    Args:
        folder: The folder of a run or an encoded dataset, or one in it, such as ``vqvae``; anything else is passed
            over.
        wanted: Tells by the name of a file whether it is about to be used.

    Raises:
        InputError: If one is missing or has changed.
    """
    folder = Path(folder)
    above = folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))
    for base, place in ((folder, Path()), (above.parent, Path(above.name))):
        for record in RECORDS:
            listed = listed_sums(base / record).items()
            sums = {name: value for name, value in listed if Path(name).parent == place and wanted(Path(name).name)}
            for name, fault in changes(base, sums):
                raise InputError(fault_line(base / name, fault, base))


def accept(base: Path) -> list[str]:
    """List the files of a run or an encoded dataset as they are now, after they were changed on purpose.

    Returns:
        What has changed, a line each.

    Raises:
        InputError: If there is no record that can be read, or it lists nothing.
    """
    record = record_of(base)
    try:
        content = json.loads(record.read_bytes())
        json.dumps(content, ensure_ascii=False).encode()  # which half of a character could not be written as
        listed = content[SUMS]
        lines = [f"{base / name}: {fault}" for name, fault in changes(base, listed)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{record}: cannot be read, or lists no checksums; there is nothing to accept") from None
    lines += [f"{record}: changed"] if fault_of(record) else []
    files = [below(base, name) for name in listed if below(base, name).is_file()]
    write_sealed(record, {**content, SUMS: sums_of(base, files)})
    return lines


def record_of(base: Path) -> Path:
    """Return the record of a run or an encoded dataset; an ``InputError`` if there is none."""
    for name in RECORDS:
        if (base / name).is_file():
            return base / name
    raise InputError(f"{base}: no finished run and no encoded dataset, so nothing lists checksums there")


def fault_of(record: Path) -> str | None:
    """Return what is wrong with the JSON of a record; None if it is as it was written."""
    try:
        unsealed(record.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return " ".join(str(error).split())
    return None


def is_light(name: str) -> bool:
    """Tell whether it takes no time to look at a file of this name."""
    return not name.endswith(WEIGHTS)


def listed_sums(record: Path) -> Mapping[str, str]:
    """Return the checksums that a record lists; none if it is not there, or cannot be read, which opening it tells."""
    try:
        sums: Any = unsealed(record.read_bytes()).get(SUMS)
    except (OSError, ValueError, RecursionError):
        return {}
    return sums if isinstance(sums, dict) else {}


def fault_line(file: Path, fault: str, base: Path) -> str:
    """Return in one line what is wrong with a file, and what to do."""
    return f"{file}: {fault} since {base} was written; {remedy(base)}"


def remedy(base: Path) -> str:
    """Return what to do about a changed file of a run or an encoded dataset."""
    return f"put back a whole copy, or make {base} again (if you changed it on purpose: mixlm check {base} --accept)"
