"""mixlm check: whether what commands have written is as they wrote it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from mixlm.damage import RUN_RECORD, accept
from mixlm.encoding import MANIFEST
from pipelines.shared.command import Failure, Results, command
from pipelines.shared.terminal import echo


Value = TypeVar("Value")


class Looked(NamedTuple):
    """What lies somewhere.

    Attributes:
        what: It is, in words.
        faults: What is wrong with it, a line each.
    """

    what: str
    faults: list[str]


@command("check")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--accept", "accepted", is_flag=True, help="Take all files as they are now, after a change on purpose.")
def main(path: Path, accepted: bool) -> Results:
    """Tell whether PATH is as it was written.

    PATH is a run or an encoded dataset, finished or not, answers in a file, or a folder of such, as mixlm compare
    makes it. A line tells of each file that has changed or is missing; the exit status is then 1.
    """
    from mixlm.errors import InputError

    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    taken = accept(path) if accepted else []
    for line in taken:
        echo(f"accepted: {line}")
    found = [*examine(path)]
    if not found:
        raise InputError(f"{path}: holds nothing of which can be told whether it is whole")
    faults = [fault for one in found for fault in one.faults]
    for fault in faults:
        echo(fault)
    what = found[0].what if len(found) == 1 else _counted([one.what.partition(",")[0] for one in found])
    results = {"path": path, "whole": not faults, "found": [one.what for one in found], "faults": faults}
    results["accepted"] = taken
    if faults:
        raise Failure(f"{path}: damaged ({what})", results=results)
    echo(f"{path}: whole ({what})")
    return results


def _counted(kinds: list[str]) -> str:
    """Return how many there are of each kind, in words."""
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))


def examine(path: Path) -> Iterator[Looked]:
    """Yield what lies at ``path``, or below it where it is nothing itself."""
    for is_there, look in KINDS:
        if is_there(path):
            yield look(path)
            return
    if path.is_dir():
        yield from _look_at_results(path)
        for below in sorted(path.iterdir()):
            if not below.is_symlink() and _output_of(below) != below:  # what says that it is whole is there, too
                yield from examine(below)


def _look_at_run(path: Path) -> Looked:
    from mixlm.run import load_run

    faults, whole = _changed(path, RUN_RECORD)
    if faults:
        return Looked("run", faults)
    method = _tried(lambda: load_run(path).method_name, faults)
    return Looked(f"run, method {method}, {whole}", faults)


def _look_at_encoded(path: Path) -> Looked:
    from mixlm.encoding.manifest import read_manifest
    from mixlm.encoding.shard_files import read_shard
    from vqvae.checksums import below

    faults, whole = _changed(path, MANIFEST)
    if faults:
        return Looked("encoded dataset", faults)
    manifest = _tried(lambda: read_manifest(path), faults) or {}
    if not manifest.get("complete"):
        return _look_at_unfinished_encoding(path, faults)
    shards = [name for names in manifest["shards"].values() for name in names]
    for name in shards:
        _tried(lambda name=name: read_shard(below(path, name)), faults)
    return Looked(f"encoded dataset, {len(shards)} shards, {whole}", faults)


def _look_at_unfinished_encoding(path: Path, faults: list[str]) -> Looked:
    from mixlm.encoding import VQVAE
    from mixlm.encoding.manifest import TOKENS
    from mixlm.encoding.shard_files import is_noted

    shards = sorted(path.glob("*.parquet"))
    damaged = [file for file in shards if not is_noted(file, path / TOKENS)]
    faults = [*faults, *(f"{file}: changed; the mixlm-encode command of it writes it again" for file in damaged)]
    whole, broken = _checkpoints(path / VQVAE)
    told = f"{len(shards) - len(damaged)} shards and {whole} whole; the mixlm-encode command of it goes on"
    return Looked(f"unfinished encoding, {told}", [*faults, *broken])


def _look_at_unfinished_run(path: Path) -> Looked:
    whole, faults = _checkpoints(path)
    return Looked(f"unfinished run, {whole} whole; the mixlm-train command of it goes on", faults)


def _checkpoints(path: Path) -> tuple[str, list[str]]:
    """Return in words which checkpoints of a training are whole, and a line for each that is not."""
    from vqvae.training.checkpoints import CHECKPOINTS, fault_in, step_of

    found = {one: fault_in(one) for one in sorted((path / CHECKPOINTS).glob("checkpoint-*"), key=step_of)}
    whole = " and ".join(one.name for one, fault in found.items() if not fault) or "no checkpoint"
    return whole, [f"{one / fault}: damaged; training goes on from another" for one, fault in found.items() if fault]


def _output_of(path: Path) -> Path | None:
    from mixlm.generation.kept.finished import output_of

    return output_of(path) if path.is_file() else None


def _look_at_answers(path: Path) -> Looked:
    from mixlm.generation.kept.finished import faults_of, read_finished

    output = _output_of(path)
    faults = faults_of(output)
    return Looked("answers" if faults else f"answers, {read_finished(output).lines} as they were written", faults)


def _look_at_results(path: Path) -> Iterator[Looked]:
    """Yield the lines of a comparison, if a folder is one's; what lies below it is looked at for itself."""
    from mixlm.comparison.results import read_results
    from pipelines.grid.attempts import Attempts
    from pipelines.grid.folder import ATTEMPTS, RESULTS

    if (path / ATTEMPTS).is_file():
        faults: list[str] = []
        _tried(lambda: Attempts(path / ATTEMPTS), faults)
        results = _tried(lambda: read_results(path / RESULTS), faults) or []
        yield Looked("comparison" if faults else f"comparison, {len(results)} results", faults)


def _changed(path: Path, name: str) -> tuple[list[str], str]:
    """Return what is wrong with what a record lists, and in words how many files that are."""
    from mixlm.damage import fault_of, listed_sums
    from vqvae.checksums import changes

    record = path / name
    if fault := fault_of(record):
        return [f"{record}: {fault}"], ""
    sums = listed_sums(record)
    whole = f"{len(sums)} files as they were written" if sums else "no checksums listed"
    return [f"{path / name}: {fault}" for name, fault in changes(path, sums)], whole


def _tried(function: Callable[[], Value], faults: list[str]) -> Value | None:
    """Return what a function does; its error is added to ``faults``."""
    try:
        return function()
    except ValueError as error:
        faults.append(str(error))
    return None


KINDS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Looked]], ...] = (
    (lambda path: (path / RUN_RECORD).is_file(), _look_at_run),
    (lambda path: (path / MANIFEST).is_file(), _look_at_encoded),
    (lambda path: (path / "checkpoints" / "arguments.json").is_file(), _look_at_unfinished_run),
    (lambda path: _output_of(path) is not None, _look_at_answers),
)
