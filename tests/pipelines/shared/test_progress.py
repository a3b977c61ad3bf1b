import io
import re
from functools import partial

import pytest

from pipelines.shared.progress import (
    AS_JSON,
    Bars,
    Forecast,
    JsonProgress,
    PlainProgress,
    Reached,
    progress_bar,
    read_reached,
)
from pipelines.shared.terminal import Manner, echo, notice, printed_in


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(reports: list[tuple[float, tuple]]) -> list[str]:
    lines, clock = [], Clock()
    progress = PlainProgress("training", lines.append, clock)
    for seconds, arguments in reports:
        clock.now = 100 + seconds
        progress.advance(*arguments)
    return lines


def test_a_line_every_ten_seconds_with_rate_and_time_left_and_one_at_the_end():
    reports = [(0, (1, 100)), (5, (11, 100)), (10, (21, 100, {"loss": 1.23456})), (12, (25, 100)), (49.5, (100, 100))]
    assert lines_of(reports) == [
        "training: 21/100, 2/s, 0:39 left loss 1.235",
        "training: 100/100, 2/s",
    ]


def test_rate_after_a_resume_counts_the_steps_of_this_process_alone():
    assert lines_of([(0, (1001, 1200)), (20, (1101, 1200))]) == ["training: 1101/1200, 5/s, 0:19 left"]


def test_work_that_never_reports_says_nothing():
    assert lines_of([]) == []


def test_time_left_in_minutes():
    assert lines_of([(0, (0, 1000)), (10, (5, 1000)), (20, (1000, 1000))])[0] == "training: 5/1000, 0.5/s, 33:10 left"


def test_off_a_terminal_it_is_plain_lines_on_stderr(capsys):
    with progress_bar("work") as advance:
        advance(1, 2)
        advance(2, 2, {"loss": 0.5})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("work: 2/2")
    assert captured.err.endswith("loss 0.5\n")


def test_on_a_terminal_it_is_a_bar_beside_which_stdout_stays_clean(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_bar("outer") as outer, progress_bar("inner") as inner:
        outer(1, 2)
        inner(3, 3, {"loss": 0.25})
        print("a result")
    captured = capsys.readouterr()
    assert captured.out == "a result\n"
    assert "inner" in captured.err


class Terminal(io.StringIO):
    """A stream that is a terminal, and as click finds streams: with another one below it."""

    def __init__(self):
        super().__init__()
        self.buffer = io.BytesIO()

    def isatty(self) -> bool:
        return True


def test_lines_stand_above_the_bar_and_leave_nothing_of_it_behind(monkeypatch):
    screen = Terminal()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{name}", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("work"):
        notice("a notice")
        echo("a result")
    text = re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue())
    assert "\r\x1b[2Ka notice\n" in text and "\r\x1b[2Ka result\n" in text  # in place of the bar, which comes anew
    assert screen.buffer.getvalue() == b""


def test_bars_within_bars_are_drawn_together():
    with Bars.shown() as outer, Bars.shown(passing=True) as inner:
        assert inner is outer
    with Bars.shown() as later:
        assert later is not outer


def test_on_a_narrow_terminal_count_time_left_and_loss_stay(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "72")
    clock = iter(range(0, 10**6, 2))
    monkeypatch.setattr("rich.console.monotonic", lambda: float(next(clock)))
    with progress_bar("training") as advance:
        for done in range(4):
            advance(done, 30_000, {"loss": 1.5, "grad_norm": 3.25, "learning_rate": 0.001})
    last = capsys.readouterr().err
    assert re.search(r"training 3/30000, \d+ h \d+ min left, loss 1.5", last) and "learning_rate" not in last


def test_of_many_bars_those_of_what_is_done_make_room(monkeypatch, capsys):
    with Bars.shown() as bars:
        for number in range(9):
            bars.move(f"job {number}", Reached("work", number < 2, 1))
        assert [task.description for task in bars._progress.tasks] == [f"job {number}" for number in range(2, 9)]


def test_a_quiet_command_shows_none(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with printed_in(Manner(quiet=True)), progress_bar("work") as advance:
        advance(2, 2)
    assert capsys.readouterr().err == ""


def test_an_error_inside_goes_through():
    with pytest.raises(KeyError), progress_bar("work") as advance:
        advance(1, 2)
        raise KeyError("x")


def test_for_another_process_it_is_where_it_starts_a_line_a_second_and_the_end():
    lines, clock = [], Clock()
    progress = JsonProgress("work: a part", lines.append, clock)
    for done in range(1, 6):
        progress.advance(done, 5, {"loss": 1 / done})
        clock.now += 0.6
    assert list(map(read_reached, lines)) == [
        Reached("work: a part", done, 5, {"loss": 1 / done}) for done in (1, 3, 5)
    ]


def test_a_command_whose_progress_another_process_shows_writes_it_for_that_process(monkeypatch, capsys):
    monkeypatch.setenv(AS_JSON, "1")
    with progress_bar("work") as advance:
        advance(2, 2)
    assert read_reached(capsys.readouterr().err) == Reached("work", 2, 2)


@pytest.mark.parametrize("line", ["", "work: 1/2, 3/s", '["reached", 1, 2]', "Error: no"])
def test_other_lines_are_no_progress(line):
    assert read_reached(line) is None


def foreseen(reports: list[tuple[float, int]], total: int, *hints: str) -> list[str]:
    said, seen, clock = [], [], Clock()
    forecast = Forecast(lambda *reached: seen.append(reached), "training", *hints, say=said.append, clock=clock)
    for seconds, done in reports:
        clock.now = 100 + seconds
        forecast(done, total, {"loss": 1.0})
    assert seen == [(done, total, {"loss": 1.0}) for _, done in reports]
    return said


@pytest.mark.parametrize(
    ("hints", "rest"),
    [
        (("--steps", "a smaller model"), "; shorter: --steps 24 takes about 20:00, or a smaller model"),
        (("--steps",), "; shorter: --steps 24 takes about 20:00"),
        (("", "--engine"), "; shorter: --engine"),
        ((), ""),
    ],
)
def test_how_long_work_takes_is_said_once_after_a_short_measurement(hints, rest):
    """Each step takes 50 s, the first, which sets up much, 400 s: 201 steps more, and nothing of it in between."""
    said = foreseen([(400, 1), (409, 1), (450, 2), (500, 3)], 202, *hints)
    assert said == [f"training: 201 to do, 50 s each: about 2 h 47 min{rest}"]


def test_work_that_goes_on_counts_what_is_left_of_it():
    assert foreseen([(0, 1000), (10, 1020)], 2000) == ["training: 1,000 to do, 0.5 s each: about 8:20"]


def test_no_fewer_are_suggested_than_there_are():
    assert foreseen([(0, 1), (10, 2)], 100, "--steps") == ["training: 99 to do, 10 s each: about 16:30"]


@pytest.mark.parametrize(("reports", "total"), [([(0, 1), (10, 2)], 13), ([(0, 1), (9, 2)], 10**6), ([(0, 1)], 1)])
def test_of_short_work_and_before_it_is_measured_nothing_is_said(reports, total):
    assert foreseen(reports, total) == []


def test_it_is_said_on_stderr_and_not_by_a_quiet_command(monkeypatch, capsys):
    clock = Clock()
    monkeypatch.setattr("pipelines.shared.progress.Forecast", partial(Forecast, clock=clock))
    for quiet in (False, True):
        with printed_in(Manner(quiet=quiet)), progress_bar("work", "--steps") as advance:
            advance(1, 1000)
            clock.now += 60
            advance(2, 1000)
        found = capsys.readouterr()
        assert ("work: 999 to do, " in found.err) != quiet and found.out == ""
