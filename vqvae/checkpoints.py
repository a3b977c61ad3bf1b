"""Finding the checkpoint from which an interrupted training goes on."""

from pathlib import Path


LAST_FILE = "trainer_state.json"  # transformers' trainer writes it after all others


def last_checkpoint(folder: str | Path) -> str | None:
    """Return the latest checkpoint in ``folder`` that was written to its end, or None.

    A training that was interrupted while it saved leaves a checkpoint that cannot be loaded; the one before it is
    still there.
    """
    whole = [path.parent for path in Path(folder).glob(f"checkpoint-*/{LAST_FILE}")]
    return str(max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")))) if whole else None
