"""What says that an output of lines is whole: who wrote it, how many lines it has, and their checksum."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

from mixlm.damage import RUN_RECORD, folder_sums, listed_sums
from mixlm.encoding import VQVAE
from mixlm.errors import InputError
from mixlm.generation.kept.lines import parts_of
from mixlm.generation.kept.part_file import PartFile
from vqvae.atomic_files import checksum, write_sealed
from vqvae.checksums import file_sum, unsealed


ENDING = ".mixlm"  # of the file beside an output that says it is whole
_UNDECISIVE = ("batch_size", "device", "endpoint", "engine", "concurrency")  # by whom and how fast answers are given
KEY = "finished"  # in the figures of an evaluation, of its answers


@dataclass(frozen=True)
class Finished:
    """An output that is whole.

    Attributes:
        identity: What decided its lines.
        lines: How many there are.
        sha256: Of the output.
        arguments: What the command was told.
    """

    identity: Mapping[str, Any]
    lines: int
    sha256: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def faults(self, output: Path) -> list[str]:
        """Return what is wrong with an output that is to be this one, a line each."""
        if not output.is_file():
            return [f"{output}: missing"]
        return [] if checksum(output) == self.sha256 else [f"{output}: changed since it was written"]


def seal_of(output: Path) -> Path:
    """Return the file beside an output of ``mixlm-generate`` that says it is whole."""
    return output.with_name(output.name + ENDING)


def write_seal(output: Path, finished: Finished) -> None:
    """Say beside an output that it is whole."""
    write_sealed(seal_of(output), asdict(finished))


def write_figures(out: Path, figures: Mapping[str, Any], finished: Finished) -> None:
    """Write the figures of an evaluation, with what says that its answers are whole."""
    write_sealed(out, {**figures, KEY: asdict(finished)})


def disown(output: Path) -> None:
    """Remove what says of an output that it is whole, for another takes its place."""
    seal_of(output).unlink(missing_ok=True)
    if figures := figures_of(output):
        figures.unlink()


def figures_of(output: Path) -> Path | None:
    """Return the figures of an evaluation whose answers an output holds, if it does."""
    file = output.with_suffix(".json")
    return file if file != output and output_of(file) == output else None


def require_no_figures(output: Path) -> None:
    """Raise an ``InputError`` if an output holds the answers of an evaluation, whose figures would tell of others."""
    if figures := figures_of(output):
        raise InputError(f"{output}: holds the answers of the evaluation {figures}; choose another name")


def require_unsealed(output: Path) -> None:
    """Raise an ``InputError`` if an output holds what another command finished, which would be lost."""
    if output.is_file() and (seal := seal_of(output)).is_file():
        raise InputError(f"{output}: holds the answers of another command, as {seal} says; choose another name")


def read_figures(file: Path) -> dict[str, Any]:
    """Read what ``write_figures`` wrote.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no figures of an evaluation, or is not as it was written.
    """
    try:
        figures = unsealed(file.read_bytes())
        figures[KEY]["identity"]["run"]
        if not figures["modes"]:
            raise ValueError("it has no mode")
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"lacks {error}" if isinstance(error, KeyError) else str(error)) from None
    return figures


def output_of(path: Path) -> Path | None:
    """Return the output that a file is, or of which it says that it is whole; None if nothing says so."""
    if path.name.endswith(ENDING):
        return path.with_name(path.name.removesuffix(ENDING))
    if path.suffix != ".json":
        said = seal_of(path).is_file() or (path.suffix == ".jsonl" and output_of(path.with_suffix(".json")))
        return path if said else None
    try:
        figures = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return path.with_suffix(".jsonl") if isinstance(figures, dict) and KEY in figures else None


def read_finished(output: str | Path) -> Finished | None:
    """Return what stands beside an output of ``mixlm-generate`` or ``mixlm evaluate`` of its being whole.

    Args:
        output: The lines.

    Returns:
        None if nothing does: nobody finished it.

    Raises:
        InputError: If what stands there is damaged.
    """
    output = Path(output)
    beside = seal_of(output)
    file = beside if beside.is_file() else figures_of(output)
    if file is None:
        return None
    try:
        found = unsealed(file.read_bytes())
        return Finished(**(found if file == beside else found[KEY]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: damaged ({error}); give the command again that wrote it") from None


def faults_of(output: str | Path) -> list[str]:
    """Return what is wrong with an output that says it is whole, a line each; an ``InputError`` if it says nothing."""
    try:
        finished = read_finished(output)
    except InputError as error:
        return [str(error)]
    if finished is None:
        raise InputError(f"{output}: says nowhere whether it is whole")
    return finished.faults(Path(output))


def is_whole(output: Path, identity: Mapping[str, Any]) -> bool:
    """Tell whether an output is there, whole, and decided by ``identity``."""
    try:
        finished = read_finished(output)
    except InputError:
        return False
    return finished is not None and finished.identity == identity and not finished.faults(output)


def arguments_of(output: Path) -> Mapping[str, Any]:
    """Return what the command was told that writes or has written an output.

    Raises:
        InputError: If nobody has begun to write it, or who has did not note that.
    """
    arguments = _command_of(output).get("arguments")
    if not arguments:
        raise InputError(f"{output}: no command that can go on has begun to write it; give the whole command")
    return arguments


def begun_date(output: Path, run: Path, arguments: Mapping[str, Any]) -> str | None:
    """Return the date of the prompts with which the same command has begun to write an output.

    Its answers may be the output, lie beside it, or have been put aside for those of other commands.

    Args:
        output: The output.
        run: The model.
        arguments: What the command is told.

    Returns:
        None if there was no such command, or its prompts have no date.
    """
    commands = [PartFile(part).header() for part in sorted(output.parent.glob(f".{escape(output.name)}.part*"))]
    with suppress(InputError):  # of what is damaged the date cannot be known
        commands.insert(0, asdict(read_finished(output) or Finished({}, 0, "")))
    for command in commands:
        try:
            date = command["identity"]["template"]["date"]
            same = _decisive(command["arguments"]) == _decisive(arguments)
            if date and same and command["identity"]["run"] == run_mark(run):
                return date
        except (KeyError, TypeError):  # of another kind of command
            continue
    return None


def _decisive(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments by which one command is another than the next; the model is known by its content."""
    return {name: value for name, value in arguments.items() if name not in ("run", *_UNDECISIVE)}


def _command_of(output: Path) -> Mapping[str, Any]:
    """Return ``identity`` and ``arguments`` of the command that writes or has written an output, if there is one."""
    header = next((PartFile(part).header() for part in parts_of(output)), None)
    finished = None if header else read_finished(output)
    return header or (asdict(finished) if finished else {})


def run_mark(path: Path) -> str:
    """Return what tells the content of a run or a model, wherever it lies: of a model of the Hub, its name."""
    info = path / RUN_RECORD
    if listed_sums(info):  # and so its own checksum is that of all
        return file_sum(info)
    if path.is_dir():
        sums = folder_sums(path, ("", VQVAE))
        answers = {name: (path / name).with_suffix(".jsonl") for name in sums}  # few have any
        sums = {name: one for name, one in sums.items() if not (answers[name].is_file() and figures_of(answers[name]))}
        return json.dumps(sums | ({info.name: file_sum(info)} if info.is_file() else {}))
    return file_sum(path) if path.is_file() else str(path)
