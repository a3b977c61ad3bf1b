"""Arrow files whose names tell their content, to be mapped into memory.

One that a loss of power has emptied, or that has changed since, is never taken for what its name says.
"""

import hashlib
from glob import escape
from pathlib import Path

import pyarrow

from vqvae.atomic_files import whole_path
from vqvae.checksums import file_sum


DIGITS = 16  # of a checksum in a name


def find_rows(folder: Path, name: str) -> Path | None:
    """Return the file of this name that is as it was written, if there is one."""
    found = sorted(folder.glob(f"{escape(name)}.*.arrow"))
    return next((file for file in found if file_sum(file)[:DIGITS] == file.suffixes[-2][1:]), None)


def write_rows(folder: Path, name: str, rows: pyarrow.Table, at_once: int | None = None) -> Path:
    """Write rows to a file of this name, and return it.

    Args:
        folder: Where it is written.
        name: What the name of the file begins with.
        rows: The rows.
        at_once: Rows of a batch in the file, of which one row is found without the others; None: as they come.
    """
    content = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(content, rows.schema) as stream:
        stream.write_table(rows, max_chunksize=at_once)
    content = content.getvalue()
    file = folder / f"{name}.{hashlib.sha256(content).hexdigest()[:DIGITS]}.arrow"
    with whole_path(file) as draft:
        draft.write_bytes(content)
    return file
