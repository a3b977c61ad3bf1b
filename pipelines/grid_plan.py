"""The commands of a grid: what each cell needs, in which order, and when it is done."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlm.comparison.grid import SPLITS, Entry, Grid
from mixlm.errors import InputError
from pipelines.demo_plan import Job


MODEL = "model.yaml"


@dataclass(frozen=True)
class Part:
    """One command of a comparison; several cells may share it.

    Attributes:
        job: The command; its name says which part it is.
        kind: "data", "encode", "train" or "evaluate".
        finished: The file that is there, and whole, once the part is done.
    """

    job: Job
    kind: str
    finished: Path

    def done(self) -> bool:
        """Tell whether the part need not be run; an encoding says so itself in its manifest."""
        if self.kind != "encode" or not self.finished.is_file():
            return self.finished.is_file()
        return bool(json.loads(self.finished.read_text(encoding="utf-8")).get("complete"))


@dataclass(frozen=True)
class Cell:
    """One entry with one seed.

    Attributes:
        entry: The entry.
        seed: The seed.
        parts: Everything that it needs, in order; the last is its evaluation.
    """

    entry: Entry
    seed: int
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """Name of the cell, unique in its grid."""
        return f"{self.entry.label}-{self.seed}"


class Plan:
    """The cells of a grid with their commands.

    Args:
        grid: The grid.
        out: The folder of everything that is written.
    """

    def __init__(self, grid: Grid, out: Path) -> None:
        self.grid, self.out = grid, out
        self.model = grid.model if isinstance(grid.model, str) else str(out / MODEL)
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
        chosen = [seed for seed in self.grid.seeds if not seeds or seed in seeds]
        return [self.cell(label, seed) for label in labels for seed in chosen]

    def cell(self, label: str, seed: int) -> Cell:
        """Return one cell."""
        entry = self.grid.entries[label]
        answers = self.out / "answers" / f"{label}-{seed}.json"
        arguments = ("evaluate", str(self._run(label, seed)), self.files["test"], *options_of(entry.evaluate))
        job = Job(f"evaluate {label}-{seed}", (*arguments, "--out", str(answers)))
        parts = [*self._data(), *self._training(label, seed), Part(job, "evaluate", answers)]
        return Cell(entry, seed, tuple(parts))

    def _file(self, split: str) -> str:
        return str(self.out / "data" / f"{split}.jsonl") if "task" in self.grid.data else self.grid.data[split]

    def _run(self, label: str, seed: int) -> Path:
        return self.out / "runs" / f"{label}-{seed}"

    def _data(self) -> list[Part]:
        data = self.grid.data
        if "task" not in data:
            return []
        parts = []
        for split in SPLITS:
            size = {"rows": data["rows"][split], "split": split, "seed": data.get("seed", 0)}
            arguments = ("data", data["task"], *options_of(size, data.get("options", {})), "--out", self.files[split])
            parts.append(Part(Job(f"data {split}", arguments), "data", Path(self.files[split])))
        return parts

    def _training(self, label: str, seed: int) -> list[Part]:
        """Return what leads to the run of an entry: its encoding, the run that it starts from, its own training."""
        entry, parts, model = self.grid.entries[label], [], self.model
        source, given = self.files["train"], ("--valid", self.files["valid"], *options_of(self.grid.template))
        if entry.needs_codes:
            parts.append(self._encoding(label, seed))
            source, given = str(parts[0].finished.parent), ()
        if entry.start:
            parts += self._training(entry.start, seed)
            model = str(self._run(entry.start, seed))
        run = self._run(label, seed)
        method = ("--method", entry.method, *(f for k, v in entry.options.items() for f in ("-o", f"{k}={_text(v)}")))
        arguments = ("train", source, "--model", model, "--out", str(run), *method, *given)
        job = Job(f"train {label}-{seed}", (*arguments, *options_of(entry.train, {"seed": seed})))
        return [*parts, Part(job, "train", run / "mixlm.json")]

    def _encoding(self, label: str, seed: int) -> Part:
        """Return stage 1; entries with the same options share it, under the label of the first of them."""
        entry = self.grid.entries[label]
        alike = next(e for e in self.grid.entries.values() if e.needs_codes and e.encode == entry.encode)
        folder = self.out / "encoded" / f"{alike.label}-{seed}"
        arguments = ("encode", self.files["train"], "--valid", self.files["valid"], "--model", self.model)
        options = options_of(self.grid.template, entry.encode, {"seed": seed})
        job = Job(f"encode {alike.label}-{seed}", (*arguments, "--out", str(folder), *options))
        return Part(job, "encode", folder / "manifest.json")


def options_of(*groups: Mapping[str, Any]) -> tuple[str, ...]:
    """Return options as a user types them; true and false are flags."""
    texts: list[str] = []
    for name, value in {name: value for group in groups for name, value in group.items()}.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            texts.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            texts += [f"--{flag}", _text(value)]
    return tuple(texts)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
