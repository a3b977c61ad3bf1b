import re
import shlex
import sys

import click
import pytest

from mixlm.errors import InputError
from pipelines.shared import jobs
from pipelines.shared.jobs import Job
from pipelines.shared.progress import AS_JSON, JsonProgress, Reached
from pipelines.shared.terminal import Manner, printed_in


def test_a_line_can_be_typed():
    job = Job("encode", ("encode", "my traces.jsonl", "--separator", ""))
    assert shlex.split(job.line()) == ["mixlm-encode", "my traces.jsonl", "--separator", ""]
    assert Job("data", ("data", "convert", "a.jsonl")).line() == "mixlm data convert a.jsonl"


def run_python(monkeypatch, sources):
    monkeypatch.setattr(jobs, "command_of", lambda job: [sys.executable, "-c", sources[job.name]])
    return jobs.run_jobs([Job(name, ("encode", name)) for name in sources])


WAIT = """
import pathlib, sys, time
mine, other = map(pathlib.Path, {names})
mine.touch()
for _ in range(600):
    if other.exists():
        sys.exit(print(mine.name))
    time.sleep(0.1)
sys.exit("Error: alone")
"""


def test_two_commands_run_at_the_same_time(tmp_path, monkeypatch):
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    finished = run_python(monkeypatch, {"a": WAIT.format(names=[a, b]), "b": WAIT.format(names=[b, a])})
    assert {name: one.output for name, one in finished.items()} == {"a": "a\n", "b": "b\n"}


def test_a_command_that_fails_stops_the_others_and_is_named_with_its_reason(tmp_path, monkeypatch):
    late = f"import time, pathlib; time.sleep(300); pathlib.Path({str(tmp_path / 'late')!r}).touch()"
    last = "Error: bad.jsonl:3: no question", JsonProgress("training")._line(Reached("training", 1, 9), 0.0)
    bad = f"import sys; print(*{last}, sep=chr(10), file=sys.stderr); sys.exit(1)"
    with pytest.raises(InputError, match=r"^mixlm-encode bad: bad.jsonl:3: no question$"):
        run_python(monkeypatch, {"late": late, "bad": bad, "later": late})
    assert not (tmp_path / "late").exists()


def test_what_a_command_prints_is_read_whatever_the_locale(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    told = "import sys; print('größe 😀'); print('Error: größe', file=sys.stderr); sys.exit({})"
    assert run_python(monkeypatch, {"a": told.format(0)})["a"].output == "größe 😀\n"
    with pytest.raises(InputError, match="mixlm-encode a: größe$"):
        run_python(monkeypatch, {"a": told.format(1)})
    broken = "import sys; sys.stdout.buffer.write(b'a \\xff')"
    assert run_python(monkeypatch, {"a": broken})["a"].output == "a \ufffd"


def beside_python(monkeypatch, source):
    monkeypatch.setattr(jobs, "command_of", lambda job: [sys.executable, "-c", source])
    return jobs.beside(Job("a", ("encode", "a")))


def test_a_command_beside_a_block_runs_with_it_and_is_waited_for(tmp_path, monkeypatch):
    a, b = tmp_path / "a", tmp_path / "b"
    with beside_python(monkeypatch, WAIT.format(names=[str(a), str(b)])) as finished:
        b.touch()  # without which the command does not end
        assert finished()["a"].output == "a\n" and a.exists()


def test_a_command_beside_a_block_that_fails_is_stopped(monkeypatch):
    with pytest.raises(ZeroDivisionError), beside_python(monkeypatch, "import time; time.sleep(300)"):
        raise ZeroDivisionError


def test_a_command_that_fails_beside_a_block_is_told_when_it_is_waited_for(monkeypatch):
    with (
        pytest.raises(InputError, match="^mixlm-encode a: nobody$"),
        beside_python(monkeypatch, "import sys; sys.exit('Error: nobody')") as finished,
    ):
        finished()


REPORTS = """
import sys
from pipelines.shared.progress import progress_bar
with progress_bar("training: a part") as advance:
    for step in range(1, 10):
        advance(step, 9, {"loss": 0.5})
print("left out 3 rows", file=sys.stderr)
"""


def test_progress_of_a_command_and_its_other_lines_are_plain_lines_with_its_name(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    run_python(monkeypatch, {"a": REPORTS})
    told, other = capsys.readouterr().err.splitlines()
    assert told.startswith("  a: training: a part: 9/9, ") and told.endswith("/s loss 0.5")
    assert other == "  a: left out 3 rows"


def test_on_a_terminal_progress_moves_a_bar_and_other_lines_stand_above(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with jobs.shown() as show:
        show("a", Reached("training", 3, 9))
        show("a", "left out 3 rows")
        show("a", Reached("training", 9, 9))
    bars = capsys.readouterr().err.partition("  a: left out 3 rows\n")[2]
    assert "a 9/9, training" in bars


def test_on_a_narrow_terminal_bars_of_jobs_keep_count_time_left_and_loss(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "72")
    clock = iter(range(0, 10**6, 2))
    monkeypatch.setattr("rich.console.monotonic", lambda: float(next(clock)))
    with jobs.shown() as show:
        for done in range(4):
            show("train assorted-0", Reached("training", done, 30_000, {"loss": 1.5, "learning_rate": 0.001}))
        for done in (1, 450, 900):
            show("encode assorted-1", Reached("reading", done, 900))
        show("encode assorted-1", Reached("encoding train", 1, 9))
    last = capsys.readouterr().err
    assert re.search(r"train assorted-0 3/30000, \d+ h \d+ min left, loss 1.5", last)
    assert re.search(r"encode assorted-1 1/9, encoding train *[\r\n]", last)  # begun anew, its speed not known yet


def test_a_quiet_command_shows_no_progress_of_its_commands_and_passes_on_how_to_print(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with printed_in(Manner(quiet=True)), jobs.shown() as show:
        show("a", Reached("training", 3, 9))
        show("a", "warning: left out 3 rows")
        assert jobs.passed_on() == ["--quiet"]
    assert click.unstyle(capsys.readouterr().err) == "  a: warning: left out 3 rows\n" and jobs.passed_on() == []


def test_a_command_that_starts_alone_on_a_terminal_has_its_own_bar(monkeypatch):
    monkeypatch.delenv(AS_JSON, raising=False)
    assert AS_JSON not in jobs.environment()
