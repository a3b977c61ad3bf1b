"""Where the rows of a published task lie: in a file that is named, in the folder of real data, or on the Hub."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mixlm.data.reading import RawRow, parts_of, read_rows
from mixlm.errors import InputError


FOLDER_VARIABLE = "MIXLM_DATA"


def find(name: str, option: str, task: str) -> Path:
    """Return a file in the folder of real data.

    Args:
        name: The file's name below the folder, for example ``gsm8k/train.jsonl``.
        option: The option that names another file.
        task: What error messages call the task.

    Raises:
        InputError: If ``MIXLM_DATA`` is not set, or the file is not there.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise InputError(
            f"{task}: where is {name}? Set {FOLDER_VARIABLE} to the folder that holds it, or give the file as {option}"
        )
    path = Path(folder) / name
    if not path.is_file():
        raise InputError(f"{task}: {path}: no such file; put it there, or give the file as {option}")
    return path


@dataclass(frozen=True)
class Source:
    """Where the rows of one file of a task are by default.

    Attributes:
        task: What error messages call the task.
        file: Name below the folder of real data.
        hub: Hub datasets with the same rows, as ``mixlm.data.reading.open_raw`` takes them, each with its split; one
            after the other they are the file. Empty: none is known.
        option: The option that names another file.
    """

    task: str
    file: str
    hub: tuple[tuple[str, str], ...] = ()
    option: str = "--source"

    def locate(self, given: str | Path | None = None) -> str | Path | InputError:
        """Return where the rows are; if only the Hub can have them, why they are not here.

        Args:
            given: What the option names, if anything.

        Raises:
            InputError: If nothing is given, the folder of real data has no such file, and the Hub has none either.
        """
        if given is not None:
            return given
        try:
            return find(self.file, self.option, self.task)
        except InputError as error:
            if not self.hub:
                raise
            return error

    def rows(self, given: str | Path | None = None) -> Iterator[tuple[str, RawRow]]:
        """Yield the rows, each with a name for error messages.

        Args:
            given: What the option names: a file, or a folder or Hub dataset with the splits of ``hub``. By default the
                file in the folder of real data, and where there is none the Hub datasets.

        Raises:
            InputError: If there is nothing to read.
        """
        place = self.locate(given)
        if isinstance(place, InputError):
            yield from self._from_hub(place)
            return
        splits = dict.fromkeys(split for _, split in self.hub) or {"train": None}
        for split in [None] if Path(place).is_file() or parts_of(str(place))[2] else splits:
            yield from read_rows(place, split)

    def _from_hub(self, not_here: InputError) -> Iterator[tuple[str, RawRow]]:
        for name, split in self.hub:
            try:
                yield from read_rows(name, split)
            except InputError as error:
                raise InputError(f"{not_here}; the Hub was asked too: {error}") from None


def text_of(row: RawRow, names: tuple[str, ...], where: str, task: str) -> str:
    """Return the first of the columns ``names`` that a row has, as text without white space around it.

    Args:
        row: The row.
        names: Names of the column in the layouts that the task is published in.
        where: What error messages call the row.
        task: What they call the task.

    Raises:
        InputError: If it has none of them, or it is not text.
    """
    value = next((row[name] for name in names if row.get(name) is not None), None)
    if not isinstance(value, str):
        raise InputError(f"{where}: no text in column '{' or '.join(names)}'; give a file of {task} as published")
    return value.strip()
