"""The commands of a grid: what each cell needs, in which order, and when it is done."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixlm.damage import RUN_RECORD
from mixlm.encoding import MANIFEST
from mixlm.encoding.manifest import read_manifest
from mixlm.errors import InputError
from mixlm.generation.kept.finished import run_mark
from mixlm.tasks.splits import SPLITS
from pipelines.grid.commands import as_typed, known_options
from pipelines.grid.folder import MODEL
from pipelines.grid.grid import Entry, Grid, short_hash
from pipelines.shared.jobs import Job
from pipelines.shared.options import text_of


@dataclass(frozen=True)
class Part:
    """One command of a comparison; several cells may share it.

    Attributes:
        job: The command; its name says which part it is.
        kind: "data", "encode", "train" or "evaluate".
        finished: The file that is there, and whole, once the part is done.
        identity: Short hash of the command, wherever the comparison's folder lies.
    """

    job: Job
    kind: str
    finished: Path
    identity: str

    def done(self) -> bool:
        """Tell whether the part need not be run; an encoding says so itself in its manifest."""
        if self.kind != "encode" or not self.finished.is_file():
            return self.finished.is_file()
        return read_manifest(self.finished.parent)["complete"]


@dataclass(frozen=True)
class Cell:
    """One entry with one seed.

    Attributes:
        entry: The entry.
        seed: The seed.
        parts: Everything that it needs, in order; the last is its evaluation.
        run: Folder of the run that is evaluated, or the model where that is untrained.
    """

    entry: Entry
    seed: int
    parts: tuple[Part, ...]
    run: Path

    @property
    def name(self) -> str:
        """Name of the cell, unique in its grid."""
        return f"{self.entry.label}-{self.seed}"


class Plan:
    """The cells of a grid with their commands.

    Args:
        grid: The grid.
        out: The folder of everything that is written; relative to the current one if it lies in there, however it is
            given, since a command goes on only where it is given the same paths again.
        engine: What evaluations start to decode, as ``--engine``; it decides no answer, and so no cell's identity.
    """

    def __init__(self, grid: Grid, out: Path, engine: str | None = None) -> None:
        near = Path(os.path.relpath(out))
        self.grid, self.out = grid, out.absolute() if ".." in near.parts else near
        self.served = () if engine is None else ("--engine", engine)
        self.model = grid.model if isinstance(grid.model, str) else str(self.out / MODEL)
        self.files = {split: self._file(split) for split in SPLITS}

    def cells(self, only: tuple[str, ...] = (), seeds: tuple[int, ...] = ()) -> list[Cell]:
        """Return the cells, method after method, or those of the labels and seeds named.

        Raises:
            InputError: If a label or seed is not the grid's.
        """
        for name, wanted, known in (("--only", only, self.grid.entries), ("--seed", seeds, self.grid.seeds)):
            for one in wanted:
                if one not in known:
                    raise InputError(f"{name} {one}: not in {self.grid.path}; it has {', '.join(map(str, known))}")
        labels = [label for label in self.grid.entries if not only or label in only]
        chosen = [(label, seed) for label in labels for seed in self.grid.seeds_of(label)]
        return [self.cell(label, seed) for label, seed in chosen if not seeds or seed in seeds]

    def cell(self, label: str, seed: int) -> Cell:
        """Return one cell."""
        entry = self.grid.entries[label]
        answers = self.out / "answers" / f"{label}-{seed}.json"
        options, run = as_typed("evaluate", entry.evaluate), str(self._run(label, seed))
        if entry.untrained:
            options, run = ("--base", *as_typed("evaluate", self.grid.template), *options), self.model
        arguments = ("evaluate", run, self.files["test"], *options)
        arguments = (*arguments, "--out", str(answers))
        evaluation = self._part(f"evaluate {label}-{seed}", arguments, answers, self.served)
        return Cell(entry, seed, (*self._data(), *self._training(label, seed), evaluation), Path(run))

    def command(self, cell: Cell) -> str:
        """Return the command that makes one cell again, as a user types it."""
        chosen = ("--only", cell.entry.label, "--seed", str(cell.seed), *self.served)
        return shlex.join(["mixlm", "compare", str(self.grid.path), "--out", str(self.out), *chosen])

    def inputs(self, parts: Sequence[Part]) -> dict[str, str]:
        """Return what tells the content of the rows and the model that parts read, by their names; of the Hub's none.

        Args:
            parts: A part, and before it those whose work it goes on with.
        """
        given = [argument for part in parts for argument in part.job.arguments]
        named = [name for name in (*self.files.values(), self.grid.model) if name in given]
        return {name: run_mark(Path(name)) for name in named if Path(name).exists()}

    def _part(self, name: str, arguments: tuple[str, ...], finished: Path, more: tuple[str, ...] = ()) -> Part:
        """Return a part; the first word of its name is the command, and ``more`` are options that decide nothing."""
        told = [argument.removeprefix(f"{self.out}{os.sep}") for argument in arguments]
        described = self.grid.model if self.model in arguments else None
        return Part(Job(name, (*arguments, *more)), name.partition(" ")[0], finished, short_hash([told, described]))

    def _file(self, split: str) -> str:
        return str(self.out / "data" / f"{split}.jsonl") if "task" in self.grid.data else self.grid.data[split]

    def _run(self, label: str, seed: int) -> Path:
        return self.out / "runs" / f"{label}-{seed}"

    def _data(self) -> list[Part]:
        data = self.grid.data
        if "task" not in data:
            return []
        parts, command = [], f"data {data['task']}"
        for split in SPLITS:
            rows = (data.get("rows") or {}).get(split)
            size = {"rows": rows} if rows else {}
            seed = {"seed": data.get("seed") or 0} if "seed" in known_options(command) else {}
            options = as_typed(command, size, {"split": split}, seed, data.get("options") or {})
            arguments = (*command.split(), *options, "--out", self.files[split])
            parts.append(self._part(f"data {split}", arguments, Path(self.files[split])))
        return parts

    def _training(self, label: str, seed: int) -> list[Part]:
        """Return what leads to the run of an entry: its encoding, the run that it starts from, its own training."""
        entry, parts, model = self.grid.entries[label], [], self.model
        if entry.untrained:
            return []
        source, given = self.files["train"], ("--valid", self.files["valid"], *as_typed("train", self.grid.template))
        if entry.needs_codes:
            parts.append(self._encoding(label, seed))
            source, given = str(parts[0].finished.parent), ()
        if entry.start:
            parts += self._training(entry.start, seed)
            model = str(self._run(entry.start, seed))
        run = self._run(label, seed)
        method = (
            "--method",
            entry.method,
            *(f for k, v in entry.options.items() for f in ("-o", f"{k}={text_of(v)}")),
        )
        arguments = ("train", source, "--model", model, "--out", str(run), *method, *given)
        read = {"answer-pattern"} if entry.needs_codes else set()  # by stage 1, which says what it found
        train = {name: value for name, value in entry.train.items() if name not in read}
        arguments = (*arguments, *as_typed("train", train, {"seed": seed}))
        return [*parts, self._part(f"train {label}-{seed}", arguments, run / RUN_RECORD)]

    def _encoding(self, label: str, seed: int) -> Part:
        """Return stage 1; entries with the same options share it, under the label of the first, or what is begun."""
        entry = self.grid.entries[label]
        alike = [e.label for e in self.grid.entries.values() if e.needs_codes and e.encode == entry.encode]
        folders = [self.out / "encoded" / f"{one}-{seed}" for one in alike]
        folder = next(filter(Path.exists, folders), folders[0])  # entries may have come to stand before it
        arguments = ("encode", self.files["train"], "--valid", self.files["valid"], "--model", self.model)
        options = as_typed("encode", self.grid.template, entry.encode, {"seed": seed})
        arguments = (*arguments, "--out", str(folder), *options)
        return self._part(f"encode {folder.name}", arguments, folder / MANIFEST)
