"""What is loading is told where somebody sees it, before it is loaded, and no longer than it takes."""

import json
import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from pipelines.shared import loading
from pipelines.shared.command import command
from pipelines.shared.loading import imports_told
from pipelines.shared.progress import AS_JSON, Reached, read_reached
from pipelines.shared.resume import resume_option
from pipelines.shared.terminal import Manner, printed_in


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A package that counts as a large one; it notes what stands on stderr when it is executed."""
    (tmp_path / "large_one").mkdir()
    (tmp_path / "large_one" / "__init__.py").write_text(
        "import sys\nseen = sys.stderr.getvalue()\nimport large_one.part\n"
    )
    (tmp_path / "large_one" / "part.py").write_text("loader = __spec__.loader, __loader__\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loading, "_LARGE", ("large_one",))
    yield "large_one"
    for name in ("large_one", "large_one.part"):
        sys.modules.pop(name, None)


class Screen:
    """A stderr that is a terminal, or is none."""

    def __init__(self, terminal: bool) -> None:
        self.text, self.encoding, self.terminal = "", "utf-8", terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def fileno(self) -> int:
        raise OSError

    def isatty(self) -> bool:
        return self.terminal

    def getvalue(self) -> str:
        return self.text


def imported(monkeypatch, terminal: bool, **how):
    """Import the package; returns it and the screen."""
    screen = Screen(terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen)
    with printed_in(Manner(**how)), imports_told():
        module = __import__("large_one")
    return module, screen


def test_on_a_terminal_a_line_stands_there_before_the_import_and_is_gone_after_it(large, monkeypatch):
    module, screen = imported(monkeypatch, terminal=True)
    assert "loading large_one .." in screen.text and module.__spec__.loader is module.__loader__
    assert screen.text.count("\n") == (version("rich") < "15")  # which leaves an empty line behind
    assert screen.text.rindex("\x1b[2K") > screen.text.rindex("loading")  # wiped out


@pytest.mark.parametrize(("terminal", "how"), [(False, {}), (True, {"quiet": True})])
def test_off_a_terminal_and_for_a_quiet_command_nothing_is_told(large, monkeypatch, terminal, how):
    before = [*sys.meta_path]
    module, screen = imported(monkeypatch, terminal, **how)
    assert (module.seen, screen.text) == ("", "") and sys.meta_path == before


def test_a_process_that_shows_progress_is_told(large, monkeypatch):
    monkeypatch.setenv(AS_JSON, "1")
    module, screen = imported(monkeypatch, terminal=False, quiet=True)
    assert read_reached(screen.text) == Reached("loading large_one", 0, 1, {}) and module.seen == screen.text


def test_verbose_tells_the_seconds(large, monkeypatch):
    monkeypatch.setattr(loading, "_WORTH", 0.0)
    _, screen = imported(monkeypatch, terminal=False, verbose=True)
    (line,) = screen.text.splitlines()
    assert line.startswith("loading large_one: ") and line.endswith(" s")


@pytest.mark.parametrize(("options", "told"), [((), True), (("--quiet",), False)])
def test_what_a_resume_imports_is_told_too(large, monkeypatch, options, told):
    @command("work")
    @resume_option("OUT", lambda path: {"seen": __import__("large_one").seen})
    @click.option("--seen")
    def work(seen):
        return {"seen": seen}

    monkeypatch.setattr("sys.stderr", Screen(True))
    seen = work.main(["--resume", "x", *options], standalone_mode=False)["seen"]
    assert ("loading large_one .." in seen) is told


def test_an_import_that_fails_fails_as_it_would(large, monkeypatch, tmp_path):
    (tmp_path / "large_one" / "part.py").write_text("raise KeyError(3)")
    before = [*sys.meta_path]
    with pytest.raises(KeyError):
        imported(monkeypatch, terminal=True)
    assert sys.meta_path == before


def test_the_large_libraries_import_through_it() -> None:
    code = """
import json, os, sys
os.environ[sys.argv[1]] = "1"
from pipelines.shared.loading import imports_told
with imports_told():
    import torch
    from transformers import AutoConfig
print(json.dumps([type(m.__spec__.loader).__module__ for m in (torch, sys.modules[AutoConfig.__module__])]))
"""
    done = subprocess.run([sys.executable, "-c", code, AS_JSON], capture_output=True, text=True, check=True)
    assert not [one for one in json.loads(done.stdout) if one.startswith("pipelines")]
    told = [read_reached(line).title for line in done.stderr.splitlines()]
    assert told[0] == "loading torch" and set(told) == {"loading torch", "loading transformers"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "gone.jsonl", "--model", "model.yaml", "--out", "out"], "gone.jsonl: no such file"),
        (
            ["train", "gone.jsonl", "--model", "model.yaml", "--method", "cot", "--out", "out"],
            "gone.jsonl: no such file",
        ),
        (["generate", "gone", "why?"], "gone: no such run folder"),
        (["evaluate", "gone", "gone.jsonl"], "gone: no such run folder"),
        (["evaluate", "model.yaml", "gone.jsonl", "--base"], "gone.jsonl: no such file"),
    ],
)
def test_what_is_not_there_is_told_before_anything_large_is_loaded(tmp_path, arguments, message):
    start = f"import sys; sys.argv[:] = ['mixlm', *{arguments!r}]\nfrom pipelines.cli import main\ntry: main()\n"
    start += "finally: print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", start], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", f"Error: {message}\n")


def test_a_python_without_docstrings_is_told_in_one_line():
    called = [sys.executable, "-OO", "-m", "pipelines", "check", "nothing"]
    ended = subprocess.run(called, capture_output=True, text=True)
    assert ended.returncode == 1 and not ended.stdout
    assert (
        ended.stderr
        == "Error: transformers needs docstrings, and Python leaves them out; unset PYTHONOPTIMIZE (-OO)\n"
    )
