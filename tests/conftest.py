"""Fixtures shared by all tests: tiny random models, a tokenizer of their own, the folder of real data."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import warm_python


os.environ["OMP_NUM_THREADS"] = "1"  # tests run side by side; set before torch is imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

try:
    from hypothesis import settings
except ImportError:
    pass
else:
    settings.register_profile("mixlm", deadline=None, derandomize="CI" in os.environ)
    settings.load_profile("mixlm")

CORPUS = [
    "start 3 ; + 4 ; - 2 ?",
    "so now 3 + 4 gives 7 . so now 7 - 2 gives 5 .",
    "How many apples are left? 12 - 5 = 7 apples, and 7 + 8 = 15.",
    "### 42\nThe answer is: 0123456789",
]


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what has been imported: every training calls it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    folder = os.environ.get("MIXLM_DATA")
    if not folder:
        pytest.skip("set MIXLM_DATA to the folder of real data to run this test")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a byte-level BPE tokenizer whose padding is its end of sequence."""
    from mixlm.model.tokenizers import build_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(CORPUS, vocab_size=300).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_tokenizer(tiny_tokenizer_folder: Path) -> Callable:
    """A function that returns a fresh copy of the tokenizer."""
    from transformers import AutoTokenizer

    return lambda: AutoTokenizer.from_pretrained(tiny_tokenizer_folder)


@pytest.fixture
def tiny_llama() -> Callable:
    """A function ``(vocab_size, tied=False, seed=0, **fields)`` that returns a random Llama of 2 layers, 32 wide."""

    def make(vocab_size: int, tied: bool = False, seed: int = 0, **fields: object):
        from transformers import LlamaConfig

        shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        shape["max_position_embeddings"] = 256
        return _random_model(LlamaConfig(vocab_size=vocab_size, tie_word_embeddings=tied, **{**shape, **fields}), seed)

    return make


def _random_model(config, seed: int):
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture
def hangups_end() -> Iterator[None]:
    """A process that a hang-up ends, also where the tests themselves were started by ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """A finished run of a tiny random model with codes, which the tests of one module share."""
    from tests.tiny_runs import saved_run

    return saved_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which transformers' trainer, started as one process, finds two GPUs."""
    import torch

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A python that begins with the large libraries imported, for processes of which a test needs several."""
    with warm_python.start(tmp_path_factory.mktemp("warm")) as executable:
        yield str(executable)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a virtual environment, outside the checkout, with the wheel built from this checkout.

    It sees the dependencies installed here, but neither the checkout nor an editable installation of it.
    """
    folder = tmp_path_factory.mktemp("installation")
    checkout, source, environment = Path(__file__).parents[1], folder / "source", folder / "venv"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(checkout / name, source)
    for name in ("vqvae", "mixlm", "pipelines"):
        shutil.copytree(checkout / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    _run(*pip, "wheel", "--no-build-isolation", *offline, "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("mixlm-*.whl")
    _run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    _run(*pip, "--python", str(environment / "bin" / "python"), "install", *offline, str(wheel))
    return environment / "bin"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
