"""The tests with the lowest versions that setup.cfg declares, in an environment of their own: ``make test-lowest``.

    python tests/lowest.py [lowest|newest] [PYTEST OPTION ..]

With ``newest`` they run with the newest versions of all but torch, which stays as constraints.txt has it. Nothing of
this checkout is needed to start it. The tools of testing are those of constraints.txt either way.
"""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parents[1]
NEEDED = 12  # GB: torch of some versions comes with CUDA alone
EXTRAS = ("math", "gguf", "plots")  # of these the lowest versions are tested; a higher torch is needed for others
TOOLS = ("hypothesis", "pytest", "pytest-xdist", "setuptools", "ruff")


def declared(extras: tuple[str, ...] = EXTRAS) -> list[str]:
    """The requirements of setup.cfg, those of some extras among them."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"], *(config["options.extras_require"][name] for name in extras)]
    return [line for text in texts for line in text.split("\n") if line]


def lowest(requirement: str) -> str:
    """The lowest version that a requirement allows, as one that allows no other."""
    name, bounds = re.fullmatch(r"([\w.-]+(?:\[[\w,]+\])?)(.*)", requirement.replace(" ", "")).groups()
    (least,) = [bound.removeprefix(">=") for bound in bounds.split(",") if bound.startswith(">=")]
    return f"{name}=={least}"


def of_constraints(*names: str) -> list[str]:
    """The lines of constraints.txt for some packages."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line.partition("==")[0] in names]


def main(which: str = "lowest", *options: str) -> int:
    """Make the environment, run the tests, and return their exit status."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED:
        print(f"skipped: the environment may take {NEEDED} GB, and {free:.0f} GB are free at {ROOT}")
        return 0
    environment = ROOT / f".venv-{which}"
    python = environment / "bin" / "python"
    wanted = (
        [lowest(one) for one in declared()]
        if which == "lowest"
        else [*declared((*EXTRAS, "lora")), *of_constraints("torch")]
    )
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    newest = ["--upgrade", "--upgrade-strategy", "eager"] if which == "newest" else []
    install = [python, "-m", "pip", "install", "--quiet", *newest]
    subprocess.run([*install, *wanted, *of_constraints(*TOOLS)], check=True)
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "--editable", ROOT], check=True)
    shown = subprocess.run([python, "-m", "pip", "list", "--format", "freeze"], capture_output=True, text=True)
    names = {re.split(r"[\[><=]", one)[0].lower() for one in wanted}
    print(*(line for line in shown.stdout.splitlines() if line.partition("==")[0].lower() in names), sep="\n")
    tests = [python, "-m", "pytest", "-n", "2", *options]
    return subprocess.run(tests, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": ""}).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
