import fcntl
import json
import os
from itertools import permutations

import pytest

from mixlm.errors import InputError
from mixlm.generation.kept.lines import HeldLines, KeptLines
from mixlm.generation.kept.part_file import Line
from mixlm.processes import Processes


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Nobody waits: the processes of these tests take turns."""
    monkeypatch.setattr(Processes, "wait", lambda self: None)


def kept(path, identity: object = "x", **more) -> KeptLines:
    return KeptLines(path, {"identity": identity}, 4, **more)


def line(number: int, **more) -> Line:
    return Line(number, json.dumps({"number": number}), **more)


def finish(lines: KeptLines) -> None:
    assert lines.complete()
    lines.join(lambda: None)
    lines.discard()


WHOLE = "".join(f'{{"number": {number}}}\n' for number in range(4))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_lines_kept_in_any_order_by_several_calls_make_the_output(tmp_path):
    for order in permutations(range(4)):
        path = tmp_path / "out.jsonl"
        for count in (1, 2, 1):
            with kept(path) as lines:
                assert [number for number in order if lines.has(number)] == [*order[: lines.done]]
                assert not lines.complete() and not path.exists()
                lines.keep([line(number) for number in order[lines.done :][:count]])
        with kept(path) as lines:
            assert lines.done == 4
            finish(lines)
        assert path.read_text() == WHOLE and names(tmp_path) == {"out.jsonl"}
        path.unlink()


def test_a_line_that_is_no_good_is_made_again_and_stands_if_it_cannot_be(tmp_path):
    path = tmp_path / "out.jsonl"
    with kept(path) as lines:
        lines.keep([line(0), line(1), line(2), line(3, good=False)])
        assert lines.complete() and lines.done == 3 and not lines.has(3)
        lines.join(lambda: None)
    assert path.read_text() == WHOLE
    with kept(path) as lines:
        assert lines.done == 3 and not lines.has(3)
        lines.keep([Line(3, "{}")])
        lines.keep([Line(3, '{"no": "good"}', good=False)])
        assert lines.read(3) == {} and lines.done == 4


def test_notes_are_kept_and_stand_in_no_output(tmp_path):
    path = tmp_path / "out.jsonl"
    with kept(path, notes=2) as lines:
        lines.keep([*map(line, range(4)), Line(5, "[0.1]", seconds=1.5)])
    with kept(path, notes=2) as lines:
        assert lines.has(5) and not lines.has(4) and lines.read(5) == [0.1] and lines.seconds([0, 5]) == 1.5
        assert not lines.complete()
        lines.keep([Line(4, "[]")])
        finish(lines)
    assert path.read_text() == WHOLE


def test_two_at_once_are_refused_and_the_lock_goes_with_its_process(tmp_path):
    path = tmp_path / "out.jsonl"
    with kept(path) as lines:
        for identity in ("x", "y"):
            with pytest.raises(InputError, match=f"{path}: another command is writing it; wait for its end"):
                kept(path, identity).__enter__()
        lines.keep([line(0)])
    with kept(path) as lines:
        assert lines.done == 1


def test_the_lines_of_another_command_are_put_aside_until_it_is_given_again(tmp_path):
    path, said = tmp_path / "out.jsonl", []
    with kept(path, "x") as lines:
        lines.keep([line(1)])
    with kept(path, "y", say=said.append) as lines:
        assert lines.done == 0
        lines.keep([line(2), line(3)])
    (aside,) = names(tmp_path) - {".out.jsonl.part"}
    assert said == [f"note: answers of another command to {path} are put aside in {tmp_path / aside}"]
    with kept(path, "x") as lines:
        assert lines.has(1) and lines.done == 1
        lines.keep([line(0), line(2), line(3)])
        finish(lines)
    assert path.read_text() == WHOLE and len(names(tmp_path)) == 2
    with kept(path, "y") as lines:
        assert lines.done == 2
        lines.keep([line(0), line(1)])
        finish(lines)
    assert names(tmp_path) == {"out.jsonl"}


@pytest.mark.parametrize("left", ["whole", "the name alone", "a torn header"])
def test_a_part_that_comes_back_after_a_loss_of_power_is_cleared(tmp_path, left):
    path, part = tmp_path / "out", tmp_path / ".out.part"
    with kept(path) as lines:
        lines.keep([line(number) for number in range(4)])
        content = part.read_bytes()
        finish(lines)
    part.write_bytes({"whole": content, "the name alone": b"", "a torn header": content[:7]}[left])
    kept(path).clear()
    assert names(tmp_path) == {"out"}


def test_the_part_of_another_command_is_not_cleared(tmp_path):
    with kept(tmp_path / "out", "y") as lines:
        lines.keep([line(0)])
    kept(tmp_path / "out").clear()
    assert names(tmp_path) == {".out.part"}


def test_a_call_that_keeps_nothing_leaves_nothing(tmp_path):
    with kept(tmp_path / "out.jsonl"):
        assert names(tmp_path) == {".out.jsonl.part"}
    assert not names(tmp_path)
    (tmp_path / ".out.jsonl.part").write_text("half a hea")
    with kept(tmp_path / "out.jsonl") as lines:
        lines.keep([line(0)])
    with kept(tmp_path / "out.jsonl") as lines:
        assert lines.done == 1


def test_a_call_that_keeps_nothing_leaves_what_other_processes_of_an_earlier_launch_have_kept(tmp_path):
    with kept(tmp_path / "out") as lines:
        lines.keep([line(0)])
    (tmp_path / ".out.part").rename(tmp_path / ".out.part-1")
    for _ in range(2):
        with kept(tmp_path / "out") as lines:
            assert lines.done == 1
    assert ".out.part-1" in names(tmp_path)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("order", [1, -1])
def test_whoever_is_last_joins_the_lines_of_all_processes(tmp_path, count, order):
    path = tmp_path / "out.jsonl"
    with kept(path) as lines:  # of an earlier launch of one process
        lines.keep([line(2)])
    every = [kept(path, processes=Processes(rank, count)) for rank in range(count)]
    for lines in every:
        lines.__enter__()
    with pytest.raises(InputError, match="another command is writing it"):
        kept(path).__enter__()
    for lines in every[::order]:
        shared = lines.processes.share(range(4))
        assert lines.has(2)
        lines.keep([line(number) for number in shared if not lines.has(number)])
    for lines in every:  # as if all were at the point where they wait for each other
        fcntl.flock(lines.lock, fcntl.LOCK_UN)
    done = []
    for lines in every[::order]:
        done.append(lines.complete())
        if done[-1]:
            lines.join(lambda: None)
            lines.discard()
        lines.__exit__()
    assert done == [True] + [False] * (count - 1)
    assert path.read_text() == WHOLE and names(tmp_path) == {"out.jsonl"}


@pytest.mark.parametrize("place", ["nowhere/lines.txt", "folder", "x" * 250])
def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path, place):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        kept(tmp_path / place).__enter__()


def test_where_there_are_no_locks_lines_are_kept_all_the_same(tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(fcntl, "flock", none)
    with kept(tmp_path / "out.jsonl") as lines:
        lines.keep([line(number) for number in range(4)])
        finish(lines)
    assert (tmp_path / "out.jsonl").read_text() == WHOLE


def test_lines_in_memory_are_asked_for_as_those_in_files():
    lines = HeldLines()
    lines.keep([line(0, seconds=0.5), line(1, good=False, seconds=0.25)])
    assert lines.has(0) and not lines.has(1) and not lines.has(2)
    assert lines.read(1) == {"number": 1} and lines.seconds([0, 1]) == 0.75


def test_what_told_of_a_former_output_goes_when_the_new_one_is_whole(tmp_path, monkeypatch):
    """A disk that is full, or a kill, leaves the former output with what tells of it."""
    path, told = tmp_path / "out.jsonl", []
    path.write_text("former")
    with kept(path) as lines:
        lines.keep([line(number) for number in range(4)])
        with monkeypatch.context() as full:
            full.setattr("mixlm.generation.kept.lines.to_disk", raising(OSError(28, "No space left on device")))
            with pytest.raises(OSError, match="No space left"):
                lines.join(lambda: told.append("gone"))
        assert path.read_text() == "former" and not told
        lines.join(lambda: told.append(path.read_text()))
    assert told == ["former"] and path.read_text() == WHOLE


def raising(error: Exception):
    def fail(*_: object) -> None:
        raise error

    return fail
