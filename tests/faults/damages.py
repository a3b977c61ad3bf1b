"""``python -m tests.faults damages``: every file that commands write, damaged, and every command that reads it.

A command must tell damage in one line that names the file, or do what it does with the whole file. Counted are
commands that do something else without a word, end in a traceback, hang, or tell damage in another way.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mixlm.damage import RECORDS
from tests.faults.calls import Ending, call, fork, own_place, tell
from tests.faults.tries import try_mixed


SHAPE = "--codebook-size 4 --hidden-size 16 --num-layers 1 --num-heads 2 --code-dim 4 --steps 4 --shard-rows 16"
ENCODE = f"encode raw.jsonl --model model.yaml --valid-fraction 0.2 {SHAPE} --batch-size 8"
TRAIN = "--batch-size 8 --steps 2 --out out"
SHORT = "--max-new-tokens 6"
READERS = {  # of the files in a folder: commands, each with the files of its result
    "encoded": {
        f"train encoded --model model.yaml --method assorted {TRAIN}": "out/model.safetensors",
        f"evaluate run encoded --limit 2 {SHORT} --out out.json": "out.jsonl",
        "analyze run encoded --only codes --out out": "out/*.csv",
        "export lm-eval run encoded --out out": "out/*",
        "encode raw.jsonl --model encoded/tokenizer --vqvae encoded/vqvae --shard-rows 16 --out out": "out/*.parquet",
        "check encoded": "",
    },
    "run": {
        f"generate run 1+1? --explain {SHORT}": "",
        f"evaluate run raw.jsonl --limit 2 {SHORT} --out out.json": "out.jsonl",
        "analyze run encoded --only codes --out out": "out/*.csv",
        "export lm-eval run raw.jsonl --limit 2 --out out": "out/*",
        f"train raw.jsonl --model run --method cot {TRAIN}": "out/model.safetensors",
        "encode raw.jsonl --model run --vqvae run/vqvae --shard-rows 16 --out out": "out/*.parquet",
        "check run": "",
    },
    "thinking": {f"generate thinking 1+1? {SHORT}": "", "check thinking": ""},
    "adapted": {f"generate adapted 1+1? {SHORT}": "", "check adapted": ""},
    "unfinished": {f"{ENCODE} --out unfinished": "unfinished/*.parquet"},
}
NEEDED = ("raw.jsonl", "model.yaml", "run", "encoded")
UNREAD = re.compile(r"README\.md|.*\.jsonl|\..*\.tmp")  # names of files that decide nothing
MINUTES = 8.0  # of a call without a budget
WRONG = ("different", "tracebacks", "hangs", "crashes", "not one line", "file not named")


class Damage(NamedTuple):
    """A file with something else in it.

    Attributes:
        name: Of the file, below the folder of all outputs.
        kind: What was done to it.
        content: What it holds then; None: it is not there.
    """

    name: str
    kind: str
    content: bytes | None


def damages(stock: Path, other: Path, folder: str) -> Iterator[Damage]:
    """Yield every damage of every file in a folder of ``stock``; ``other`` has files of the same names."""
    for file in sorted(path for path in (stock / folder).rglob("*") if path.is_file()):
        name, content = str(file.relative_to(stock)), file.read_bytes()
        size = len(content)
        if UNREAD.fullmatch(file.name) or not size:
            continue
        for place in sorted({0, size // 4, size // 2, 3 * size // 4, size - 1}):
            changed = bytearray(content)
            changed[place] ^= 1
            yield Damage(name, f"a bit at {place} of {size}", bytes(changed))
        for length in sorted({0, size // 2, size - 1}):
            yield Damage(name, f"the first {length} of {size} bytes", content[:length])
        yield Damage(name, "removed", None)
        twin = other / name
        if twin.is_file() and twin.read_bytes() != content:
            yield Damage(name, "another's", twin.read_bytes())


def make(stock: Path, seed: int) -> None:
    """Write all outputs by the commands that write them."""
    from tests.tiny_data import write_raw, write_scratch

    stock.mkdir()
    write_raw(stock, 40)
    write_scratch(stock)
    more = f"--seed {seed}"
    assorted = "train encoded --model model.yaml --method assorted --batch-size 8 --steps 2"
    thinking = "train raw.jsonl --model model.yaml --method coconut -o stop=learned --batch-size 8 --steps 2"
    for line in (
        f"{ENCODE} {more} --out encoded",
        f"{assorted} {more} --out run",
        f"{assorted} {more} --lora-rank 2 --out adapted",
        f"{thinking} {more} --out thinking",
    ):
        ending = call(*line.split(), folder=stock)
        assert ending.code == 0, (line, ending)
    fork(_interrupted(f"{ENCODE} {more} --out unfinished"), stock)
    assert (stock / "unfinished" / "train-00000.parquet").is_file()
    for cache in stock.rglob(".cache"):
        shutil.rmtree(cache)


def _interrupted(line: str) -> Callable[[], None]:
    """An encoding that ends at its second shard."""

    def work() -> None:
        from mixlm.encoding import encode
        from pipelines.cli import main

        write, written = encode.write_shard, []

        def write_one(*shard: object) -> None:
            if written:
                raise KeyboardInterrupt
            written.append(write(*shard))

        encode.write_shard = write_one
        main(line.split(), prog_name="mixlm")

    return work


class Trial:
    """Commands that are called in copies of what was made.

    Args:
        folder: A new one, for all of it.
        report: Told of each call that went wrong: how, and what.
    """

    def __init__(self, folder: Path, report: Callable[[str, str], None]) -> None:
        self.stock, self.other, self.place, self.report = folder / "stock", folder / "other", folder / "try", report
        make(self.stock, 0), make(self.other, 1)
        self.whole = {line: self._call(folder, line, None) for folder in READERS for line in READERS[folder]}
        for line, (ending, _) in self.whole.items():
            assert ending.code == 0, (line, ending)

    def all(self) -> list[tuple[str, str, Damage]]:
        """Every command with every damage of what it reads."""
        found = {folder: [*damages(self.stock, self.other, folder)] for folder in READERS}
        return [(folder, line, one) for folder in READERS for line in READERS[folder] for one in found[folder]]

    def run(self, folder: str, line: str, damage: Damage) -> str:
        """Call a command on a damaged file; returns "told" or "same", or what went wrong."""
        ending, result = self._call(folder, line, damage)
        came = ending.fault or self.verdict(line, ending, result, damage)
        if came not in ("told", "same"):
            self.report(came, f"{line}\n   {damage.name}: {damage.kind}\n   {ending.code} {ending.err[-600:]!r}")
        return came

    def verdict(self, line: str, ending: Ending, result: dict[str, bytes], damage: Damage) -> str:
        """What came of a call that ended in order: "told", "same", or what is wrong with it."""
        if ending.code == 0:
            unheeded = line.startswith("check") and Path(damage.name).name not in RECORDS
            return "same" if not unheeded and result == self.whole[line][1] else "different"
        parts = Path(damage.name).parts
        return "told" if parts[0] in ending.error + ending.out else "file not named"

    def _call(self, folder: str, line: str, damage: Damage | None) -> tuple[Ending, dict[str, bytes]]:
        """Call a command in a copy; returns how it ended and its result, without what differs from call to call."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        for name in {*NEEDED, folder}:
            path = self.stock / name
            shutil.copytree(path, self.place / name) if path.is_dir() else shutil.copy2(path, self.place)
        if damage:
            file = self.place / damage.name
            file.unlink() if damage.content is None else file.write_bytes(damage.content)
        ending = call(*line.split(), folder=self.place)
        pattern = READERS[folder][line]
        files = sorted(self.place.glob(pattern)) if pattern else []
        result = {path.name: steady(path.read_bytes()) for path in files}
        return ending, result or {"printed": ending.out.encode()}


def steady(content: bytes) -> bytes:
    """Return the content of a result without the seconds that it took."""
    return re.sub(rb'"seconds": [\d.e-]+', b"", content)


def run(budget: float | None, most: int | None = None) -> dict[str, int]:
    """Try damages for at most ``budget`` minutes, or at most ``most`` of them, in an order that mixes all."""
    with own_place() as folder:
        trial = Trial(folder, tell)
        todo = trial.all()
        counts = try_mixed(todo, lambda one: trial.run(*one), budget or MINUTES, most)
    about = {"damages": counts.total(), "of all": len(todo), "told": counts["told"], "same result": counts["same"]}
    return about | {name: counts[name] for name in WRONG}
