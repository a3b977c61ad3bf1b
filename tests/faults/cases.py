"""The commands that are interrupted: small ones of every kind, and what they are given."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.faults.forks import command, start, wait
from tests.tiny_data import raw_rows, write_scratch


SHAPE = "--codebook-size 6 --hidden-size 16 --num-layers 1 --num-heads 2 --code-dim 4"
STAGE_1 = f"{SHAPE} --batch-size 8 --steps 6 --warmup-steps 2 --save-every 2 --shard-rows 16"
STAGE_2 = "--model model.yaml --out out --batch-size 8 --save-every 2 --log-every 1 --learning-rate 1e-3"
FIXED = "--objective reconstruction --align fixed --chunk-length 4 --compression-rate 2"


@dataclass(frozen=True)
class Case:
    """A command and the files that it is given.

    Attributes:
        name: Of the case.
        line: The command line of ``mixlm``.
        given: Names in the stock.
        done: What the command says when it is given again after it has finished.
    """

    name: str
    line: str
    given: tuple[str, ...]
    done: str = "already"

    @property
    def arguments(self) -> list[str]:
        """The command line in words."""
        return self.line.split()


_RAW, _RUN = ("raw.jsonl", "valid.jsonl", "model.yaml"), ("run", "raw.jsonl", "questions.jsonl")
CASES = {
    case.name: case
    for case in (
        Case("encode", f"encode raw.jsonl --model model.yaml --out out {STAGE_1} --valid-fraction 0.2", _RAW),
        Case(
            "encode fixed",
            f"encode raw.jsonl --model model.yaml --out out {FIXED} {STAGE_1} --valid valid.jsonl",
            _RAW,
        ),
        Case("train assorted", f"train encoded --method assorted {STAGE_2} --steps 5", (*_RAW, "encoded")),
        Case(
            "train cot",
            f"train raw.jsonl --method cot --valid valid.jsonl {STAGE_2} --steps 5 --eval-every 2 --select loss",
            _RAW,
        ),
        Case(
            "train coconut",
            f"train raw.jsonl --method coconut {STAGE_2} --steps 5 -o first_epochs=0 -o stages=1",
            _RAW,
        ),
        Case("train lora", f"train encoded --method assorted --lora-rank 2 {STAGE_2} --steps 5", (*_RAW, "encoded")),
        Case(
            "generate",
            "generate run --input questions.jsonl --output out.jsonl --batch-size 4 --max-new-tokens 8",
            _RUN,
        ),
        Case("evaluate", "evaluate run raw.jsonl --limit 12 --out out.json --batch-size 4 --max-new-tokens 8", _RUN),
    )
}


def write_rows(folder: Path) -> None:
    """Write rows, questions and the YAML of a model."""
    for name, count, seed in (("raw", 48, 0), ("valid", 16, 1)):
        rows = [{**row, "id": index} for index, row in enumerate(raw_rows(count, seed))]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = ({"question": row["question"]} for row in raw_rows(12, 2))
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    write_scratch(folder)


def make_stock(stock: Path, output: Path) -> None:
    """Write all that commands are given; what commands write is written by commands."""
    if (stock / "run" / "mixlm.json").is_file():
        return
    shutil.rmtree(stock, ignore_errors=True)
    stock.mkdir(parents=True)
    write_rows(stock)
    for name, made in (("encode fixed", "encoded"), ("train assorted", "run")):
        ended = wait(start(command(CASES[name].arguments), stock, output), output)
        assert ended.status == 0, ended.output
        (stock / "out").rename(stock / made)


def lay_out(case: Case, stock: Path, folder: Path) -> None:
    """Empty ``folder`` and put there what a command is given."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in case.given:
        path = stock / name
        shutil.copytree(path, folder / name) if path.is_dir() else shutil.copy2(path, folder / name)
    (folder / "tmp").mkdir()
