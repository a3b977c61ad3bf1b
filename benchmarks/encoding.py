"""How near encoding comes to the speed of its slowest part, and whether its memory grows with the number of traces.

Speed: ``encode_dataset`` with a given VQ-VAE, from a .jsonl file to Parquet, against each of its parts alone: read and
tokenise on all cores, the bare encoder at its best batch size, write. Traces are as long as GSM8K's; the VQ-VAE has
the paper's size (2 layers, 512 wide, K = 1024) and random weights. Imports and start-up are left out: what counts is
the difference between two numbers of traces.

Memory: the highest resident memory of the whole command, and of the processes that tokenise for it, with 1,000,000
traces over the same with 10,000; short traces and a tiny VQ-VAE, for it is the number that matters.
"""

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Figure, in_turns, seconds
from benchmarks.training import GSM8K
from mixlm.data.tables import lists_of
from mixlm.encoding.encode import encode_dataset
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.shard_files import write_shard
from mixlm.encoding.tokens.sharding import Sharding
from mixlm.encoding.tokens.token_tables import TokenTable
from mixlm.encoding.tokens.tokenizer_pool import TokenizerPool, cores
from mixlm.model.tokenizers import build_tokenizer, open_tokenizer
from vqvae import ChunkVQVAE, ChunkVQVAEConfig
from vqvae.options import PAPERS_CODES


DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"
FEW, MANY = (50_000, 200_000) if torch.cuda.is_available() else (200, 1400)
BATCHES = (4096, 16384, 65536) if torch.cuda.is_available() else (256, 1024, 4096)
DTYPE = "bfloat16" if torch.cuda.is_available() else "float32"
PAPER = {**PAPERS_CODES, "chunk_length": 16, "compression_rate": 16, "codebook_size": 1024}
TINY = {**PAPER, "hidden_size": 16, "num_layers": 1, "num_heads": 1, "code_dim": 4}


class Setting:
    """A folder with a tokenizer, random VQ-VAEs and files of traces.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        letters = rng.choice([*"etaoinshrdlu"], size=(3000, 5))
        self.words = np.array([f" {''.join(word[: 2 + number % 4])}" for number, word in enumerate(letters)])
        tokenizer = build_tokenizer([" ".join(self.words)] * 3, 4096)
        tokenizer.save_pretrained(folder / "model")

    def traces(self, count: int, lengths: Sequence[tuple[int, int]] = GSM8K) -> Path:
        """Write a file of traces of random words; prompts and traces have these ``lengths``, about a token a word."""
        path = self.folder / f"{count}-{len(lengths)}.jsonl"
        rng = np.random.default_rng(1)
        with path.open("w") as file:
            for number in range(count):
                prompt, trace = (rng.choice(self.words, length) for length in lengths[number % len(lengths)])
                steps = ["".join(trace[start : start + 20]) for start in range(0, len(trace), 20)]
                file.write(json.dumps({"question": "".join(prompt), "steps": steps, "answer": "1"}) + "\n")
        return path

    def vqvae(self, shape: dict[str, Any]) -> Path:
        """Write a random model."""
        torch.manual_seed(0)
        vocabulary = len(open_tokenizer(str(self.folder / "model")))
        config = ChunkVQVAEConfig(**shape, vocab_size=vocabulary, compact_size=vocabulary + 1)
        path = self.folder / f"vqvae-{config.hidden_size}"
        ChunkVQVAE(config, range(vocabulary)).save_pretrained(path)
        return path


class Parts:
    """Encoding of many traces, whole and part by part."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.model = setting, str(setting.folder / "model")
        given = {"vqvae": str(setting.vqvae(PAPER)), "valid": str(setting.traces(20))}
        self.options = EncodingOptions(**given, workers=cores(), dtype=DTYPE, shard_rows=MANY // 5)
        self.vqvae = ChunkVQVAE.from_pretrained(self.options.vqvae, dtype=getattr(torch, DTYPE)).eval().to(DEVICE)
        self.files = {count: str(setting.traces(count)) for count in (FEW, MANY)}
        sharding = Sharding(self.files[MANY], self.options)
        self.pool = TokenizerPool(sharding, open_tokenizer(self.model), self.options)
        self.tables: list[TokenTable] = []
        self.best: int | None = None

    def whole(self) -> float:
        """Return the seconds that the command takes for MANY - FEW traces."""
        took = {}
        for count, file in self.files.items():
            with tempfile.TemporaryDirectory() as out:
                took[count] = seconds(lambda file=file, out=out: encode_dataset(file, self.model, out, self.options))
        return took[MANY] - took[FEW]

    def share(self, work: Callable[[], Any]) -> float:
        """Return the part of a call's seconds that MANY - FEW of MANY traces take."""
        return seconds(work) * (MANY - FEW) / MANY

    def read(self) -> float:
        """Return the seconds of reading and tokenising."""

        def work() -> None:
            self.tables = [*self.pool.tables(self.pool.sharding.shards("train"))]

        return self.share(work)

    def encode(self) -> float:
        """Return the seconds of the encoder at its best batch size, which is looked for once."""
        traces = [lists_of(table.rows, "trace_ids") for table in self.tables]

        def took(size: int) -> float:
            return self.share(lambda: [self.vqvae.encode_flat(*flat, batch_size=size) for flat in traces])

        self.best = self.best or min(BATCHES, key=took)
        return took(self.best)

    def write(self) -> float:
        """Return the seconds of writing."""
        with tempfile.TemporaryDirectory() as out:
            return self.share(
                lambda: [write_shard(Path(out) / f"{number}", table.rows) for number, table in enumerate(self.tables)]
            )

    def turn(self) -> tuple[float, float]:
        """Return the seconds of the slowest part and of everything together."""
        self.last = {"read": self.read(), "encode": self.encode(), "write": self.write()}
        return max(self.last.values()), self.whole()


def figures(turns: int) -> Iterator[Figure]:
    """Yield the figures; a turn takes about half a minute."""
    turns = max(3, turns // 5)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(Path(folder))
        yield speed(setting, turns)
        yield memory(setting)


def speed(setting: Setting, turns: int) -> Figure:
    """Measure encoding against its slowest part."""
    parts = Parts(setting)
    with parts.pool:
        parts.read()  # starts the processes
        slowest, whole, ratio = in_turns(parts.turn, turns, warm_ups=0)
    alone = ", ".join(f"{name} {took:.1f} s" for name, took in parts.last.items())
    detail = f"{MANY - FEW} traces: whole {whole:.1f} s, slowest part {slowest:.1f} s ({alone})"
    return Figure("encoding: its slowest part alone over the whole", ratio, ">= 0.8", detail, turns)


def memory(setting: Setting) -> Figure:
    """Measure peaks of memory, each in a process of its own."""
    peaks = {}
    vqvae, model = (str(path) for path in (setting.vqvae(TINY), setting.folder / "model"))
    for count in (10_000, 1_000_000):
        arguments = [str(setting.traces(count, [(5, 20)])), model, str(setting.folder / f"out-{count}"), vqvae]
        command = [sys.executable, "-m", "benchmarks.encoding", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[count] = json.loads(done.stdout.splitlines()[-1])
    few, many = (sum(peak.values()) for peak in peaks.values())
    detail = "; ".join(
        f"{count:,} traces: {peak['self']:.0f} MiB, each process that tokenises {peak['children']:.0f} MiB"
        for count, peak in peaks.items()
    )
    return Figure("encoding: memory with 100 times the traces", many / few, "<= 1.2", detail, 1)


def main(traces: str, model: str, out: str, vqvae: str) -> None:
    """Encode, and print the highest resident memory in MiB, of this process and of the largest that it started."""
    children = [0.0]

    def watch() -> None:
        while True:
            children.extend(peak_memory(process.pid) for process in multiprocessing.active_children())
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    encode_dataset(traces, model, out, EncodingOptions(vqvae=vqvae, workers=2))
    print(json.dumps({"self": peak_memory(os.getpid()), "children": max(children)}))


def peak_memory(process: int) -> float:
    """Return the highest resident memory of a process in MiB, 0 if it is gone.

    Not ``ru_maxrss``: it counts what a process was before it became another program, that is the one that started it.
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main(*sys.argv[1:])
