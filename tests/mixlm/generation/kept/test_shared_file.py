import pytest

from mixlm.errors import InputError
from mixlm.generation.kept.shared_file import SharedFile
from mixlm.processes import Processes


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Nobody waits: the processes of these tests take turns."""
    monkeypatch.setattr(Processes, "wait", lambda self: None)


def opened(path, count: int) -> list[SharedFile]:
    return [SharedFile(path, Processes(rank, count)) for rank in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("each", [1, 2])
def test_whoever_is_last_joins_the_lines_in_their_order(tmp_path, count, order, each):
    things, path = [[f"{thing}.{line}\n" for line in range(each)] for thing in range(7)], tmp_path / "lines.txt"
    done = []
    for file in opened(path, count)[::order]:
        assert not path.exists()
        done.append(file.write([line for thing in file.processes.share(things) for line in thing], each))
    assert done == [False] * (count - 1) + [True]
    assert path.read_text() == "".join(line for thing in things for line in thing)
    assert [file.name for file in tmp_path.iterdir()] == ["lines.txt"]


def test_what_an_interrupted_call_left_is_not_joined(tmp_path):
    path = tmp_path / "lines.txt"
    opened(path, 2)[1].write(["old\n"])
    first, second = opened(path, 2)
    assert not first.write(["new\n"]) and second.write(["newer\n"])
    assert path.read_text() == "new\nnewer\n"


@pytest.mark.parametrize(("before", "now"), [(3, 1), (3, 2), (2, 3)])
def test_nothing_stays_of_an_interrupted_call_with_other_processes(tmp_path, before, now):
    path, other = tmp_path / "lines.txt", tmp_path / ".lines.txt.old.0-of-9"
    other.write_text("of another file\n")
    for file in opened(path, before)[1:]:
        file.write(["old\n"])
    for number, file in enumerate(opened(path, now)):
        file.write([f"{number}\n"])
    assert path.read_text() == "".join(f"{number}\n" for number in range(now))
    assert {file.name for file in tmp_path.iterdir()} == {path.name, other.name}


def test_only_one_of_two_that_end_together_joins(tmp_path, monkeypatch):
    first, second = opened(tmp_path / "lines.txt", 2)
    first.write(["a\n"])
    assert first._alone() and not second.write(["b\n"])


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        SharedFile(tmp_path / "nowhere" / "lines.txt", Processes())
