"""The README's own commands and code, run as printed with the installed package.

Blocks marked ``bash`` and ``python`` are run in order in one empty folder. A block marked ``text output`` must be what
the block before it prints. Blocks of any other kind (installation, servers, figures of long runs) are not run.

Every command is run by a new process at least once. A block of commands that have been run before, and the comparison,
which runs them all again, use a python of the same environment that has imported torch already.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm_python


README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^mixlm[ -]\w+", re.MULTILINE)
SHELL = ["bash", "-euo", "pipefail", "-c"]


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(README.read_text(encoding="utf-8"))


@pytest.fixture
def environment(installed) -> dict[str, str]:
    """The environment of a user who has installed the package, without the checkout in sight."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**outside, "PATH": f"{installed}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}


@pytest.fixture
def again(environment, installed, tmp_path_factory) -> Iterator[dict[str, str]]:
    """The same for commands that have been run before."""
    folder = tmp_path_factory.mktemp("warm")
    with warm_python.start(folder, str(installed / "python")) as python:
        for script in installed.glob("mixlm*"):
            _, rest = script.read_text().split("\n", 1)
            (folder / script.name).write_text(f"#!{python}\n{rest}")
            (folder / script.name).chmod(0o755)
        yield {**environment, "PATH": f"{folder}{os.pathsep}{environment['PATH']}"}


def test_blocks_run_as_printed(environment, again, tmp_path):
    printed, ran, known = "", 0, {"mixlm compare"}
    for kind, text in blocks():
        if kind == "text output":
            assert printed.strip() == text.strip()
        if kind not in ("bash", "python"):
            continue
        command = [*SHELL, text] if kind == "bash" else ["python", "-c", text]
        programs = {*COMMAND.findall(text)} if kind == "bash" else {"python"}
        how = {"cwd": tmp_path, "env": again if programs <= known else environment}
        done = subprocess.run(command, capture_output=True, text=True, **how)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        printed, ran, known = done.stdout, ran + 1, known | programs
    assert ran >= 6


def test_three_commands_are_among_the_blocks_that_run():
    run = "\n".join(text for kind, text in blocks() if kind == "bash")
    for command in ("mixlm-encode ", "mixlm-train ", "mixlm-generate ", "mixlm evaluate "):
        assert command in run


def test_files_and_folders_that_the_readme_names_exist():
    text = README.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (README.parent / link).exists(), link
