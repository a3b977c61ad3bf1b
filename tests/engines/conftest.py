"""An engine that is installed, small runs that it can serve, and a server of each, which all tests share."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from pipelines.engines.server import Server

# vLLM has no heads of 16 on every processor
MODEL = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.06,
    "tokenizer": {"vocab_size": 512},
}
CODES = {"align": "step", "objective": "predictive", "codebook-size": 16, "hidden-size": 32, "num-layers": 1}
TRAINING = {"batch-size": 32, "learning-rate": 0.003, "warmup-steps": 20, "weight-decay": 0, "adam-beta2": 0.98}


@pytest.fixture(scope="session")
def engine() -> str:
    """The interpreter that has vLLM, as ``--engine`` takes it."""
    if not (python := os.environ.get("MIXLM_ENGINE")):
        pytest.skip("make test-engines, or set MIXLM_ENGINE to a python that has vLLM")
    return python


@pytest.fixture(scope="session")
def task(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train.jsonl``, the 200 rows of ``questions.jsonl``, ``model.yaml`` and ``encoded``."""
    from mixlm.tasks.chain_arithmetic import Options, generate
    from pipelines.encode import main

    folder, options = tmp_path_factory.mktemp("task"), Options(operations=3)
    for name, split, count in (("train", "train", 1500), ("questions", "test", 200)):
        rows = generate(count, split, options=options)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "model.yaml").write_text(json.dumps(MODEL))
    of_model = {"model": folder / "model.yaml", "separator": "", "out": folder / "encoded"}
    _call(main, folder / "train.jsonl", **of_model, **CODES, steps=100)
    return folder


@pytest.fixture(scope="session")
def assorted(task: Path) -> Path:
    """A run that has half learned to write latents and text."""
    return trained(task, "assorted", task / "encoded", "mix=weighted", "weights=1,2,1")


@pytest.fixture(scope="session")
def coconut(task: Path) -> Path:
    """A run that has half learned to think: six thoughts in place of three steps."""
    stages = ("stages=3", "first_epochs=1", "epochs_per_stage=1")
    return trained(task, "coconut", task / "train.jsonl", *stages, **{"separator": ""})


@pytest.fixture(scope="session")
def served_assorted(assorted: Path, serve: Callable[[Path], "Server"]) -> "Server":
    """A server of ``assorted``."""
    return serve(assorted)


@pytest.fixture(scope="session")
def served_coconut(coconut: Path, serve: Callable[[Path], "Server"]) -> "Server":
    """A server of ``coconut``, which takes vectors in place of ids."""
    return serve(coconut)


@pytest.fixture(scope="session")
def serve(engine: str) -> Iterator[Callable[[Path], "Server"]]:
    """A function that starts a server of a run, which stays until all tests are done, or its context is left."""
    from contextlib import ExitStack

    from mixlm.run import load_run
    from pipelines.engines.server import Server

    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB: several servers share a machine
    with ExitStack() as stack:

        def start(path: Path) -> "Server":
            """Start it."""
            server = stack.enter_context(Server(load_run(path), engine, print))
            server.start()
            return server

        yield start


def trained(task: Path, method: str, data: Path, *options: str, name: str = "", **more: object) -> Path:
    """Train a run beside the task's files; returns its folder.

    Args:
        task: The folder of ``task``.
        method: How it reasons.
        data: What it learns from.
        options: Of the method.
        name: Of its folder; nothing: the method.
        more: Options of the command.
    """
    from pipelines.train import main

    out = task / (name or method)
    settings = {"model": task / "model.yaml", "method": method, "out": out, "steps": 200, **TRAINING, **more}
    _call(main, data, *(word for option in options for word in ("-o", option)), **settings)
    return out


def _call(command, *arguments: object, **options: object) -> None:
    from tests.calling import call_command

    flags = [
        word for name, value in options.items() for word in ((f"--{name}",) if value is True else (f"--{name}", value))
    ]
    call_command(command, *arguments, *flags)
