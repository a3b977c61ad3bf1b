"""The commands and code of the README and of the pages in docs/, run as printed with the installed package.

Blocks marked ``bash`` and ``python`` are run in order in one empty folder: those of the README in one, those of the
pages, of which each goes on where the tutorial ends, in another. A block marked ``text output`` must be what the block
before it prints. Where shares in percent or numbers with a decimal point are among it, which another processor may
round otherwise, it is marked ``text form``, and these are not compared; nor are they of one marked ``text lines``,
each line of which must be among what is printed. Blocks of any other kind (installation, servers, figures of long
runs) are not run.

Every command of the README is run by a new process at least once. A block of commands that have been run before, and
the comparison, which runs them all again, use a python of the same environment that has imported torch already.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm_python


ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
NAMES = ("TUTORIAL", "FORMATS", "METHODS", "API", "ANALYSIS", "COMPARE", "TASKS", "SERVING", "TERMINAL")
PAGES = [ROOT / "docs" / f"{name}.md" for name in NAMES]
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^mixlm[ -]\w+", re.MULTILINE)
SHELL = ["bash", "-euo", "pipefail", "-c"]
FIGURE = re.compile(r"\d+\.\d+ ?%?|\d+ ?%")


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def form_of(text: str) -> list[str]:
    """Lines without the figures that another processor may round otherwise, and without the room that they take."""
    return [" ".join(FIGURE.sub("#", line).split()) for line in text.strip().splitlines()]


@pytest.fixture
def environment(installed) -> dict[str, str]:
    """The environment of a user who has installed the package, without the checkout in sight."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**outside, "PATH": f"{installed}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}


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


def check(kind: str, text: str, printed: str) -> None:
    """Hold a block that is shown against what was printed."""
    if kind == "text output":
        assert printed == text
    if kind == "text form":
        assert form_of(printed) == form_of(text)
    if kind == "text lines":
        assert [line for line in form_of(text) if line not in form_of(printed)] == []


def run(kind: str, text: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a block, and return what it prints."""
    command = [*SHELL, text] if kind == "bash" else ["python", "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, f"{text}\n{done.stderr}"
    return done.stdout


def test_blocks_of_the_readme_run_as_printed(environment, again, tmp_path):
    printed, ran, known = "", [], {"mixlm compare"}
    for kind, text in blocks(README):
        check(kind, text, printed)
        if kind in ("bash", "python"):
            programs = {*COMMAND.findall(text)} if kind == "bash" else {"python"}
            printed = run(kind, text, tmp_path, again if programs <= known else environment)
            known |= programs
            ran.append(text)
    for command in ("mixlm-encode ", "mixlm-train ", "mixlm-generate "):
        assert command in "\n".join(ran)


def test_blocks_of_the_pages_run_as_printed(environment, again, tmp_path):
    ran = []
    for page in PAGES:
        shown = blocks(page)
        assert any(kind in ("bash", "python") for kind, _ in shown), page
        printed = ""
        for kind, text in shown:
            check(kind, text, printed)
            if kind in ("bash", "python"):
                printed = run(kind, text, tmp_path, again if kind == "bash" else environment)
                ran.append(text)
    assert sum("mixlm" in text for text in ran) >= 6 and "mixlm evaluate " in "\n".join(ran)


def test_no_page_with_blocks_that_run_is_left_out():
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
    assert {page for page in pages if any(kind in ("bash", "python") for kind, _ in blocks(page))} == {*PAGES}


def test_files_and_folders_that_pages_name_exist():
    for page in (README, *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), ROOT / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 170


@pytest.mark.parametrize(
    ("name", "arguments"), [("both_stages", ["try", "20"]), ("read_codes", ["encoded", "2"]), ("thoughts", ["60"])]
)
def test_examples_run(again, tmp_path, name, arguments):
    if name == "read_codes":
        commands = "\n".join(text for kind, text in blocks(README) if kind == "bash")
        run("bash", commands.partition("mixlm-train")[0], tmp_path, again)
    done = run("bash", f"python {ROOT}/examples/{name}.py {' '.join(arguments)}", tmp_path, again)
    last = done.splitlines()[-1]
    assert re.fullmatch(r"[a-z ]+: [\d.]+", last), done


def test_launchers_are_told_the_number_of_processes_which_their_shipped_files_leave_open():
    """accelerate takes none from a file that names none."""
    told = [*(ROOT / "docs").rglob("*.md"), README, *(ROOT / "pipelines" / "launch").iterdir()]
    lines = [line for page in told for line in page.read_text(encoding="utf-8").splitlines()]
    commands = [line for line in lines if "--config_file" in line]
    assert len(commands) == 4
    assert all("accelerate launch --num_processes " in command for command in commands)
