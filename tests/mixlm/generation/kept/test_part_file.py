import os

import pytest

from mixlm.errors import InputError
from mixlm.generation.kept.part_file import Line, PartFile


LINES = [Line(3, '{"a": "\u00e9 \\n"}'), Line(0, "{}", good=False), Line(3, "[1.5]", seconds=0.25)]


@pytest.fixture
def path(tmp_path):
    part = PartFile(tmp_path / "part", {"identity": "x"})
    assert [found.number for found in part.append(LINES)] == [3, 0, 3]
    part.close()
    return part.path


def read(path) -> list[tuple[int, bool, float, str]]:
    part = PartFile(path)
    try:
        return [(found.number, found.good, found.seconds, part.text(found).decode()) for found in part.lines()]
    finally:
        part.close()


def as_kept(lines) -> list[tuple[int, bool, float, str]]:
    return [(line.number, line.good, line.seconds, line.text) for line in lines]


def test_lines_come_back_with_their_header(path):
    assert read(path) == as_kept(LINES)
    assert PartFile(path).header() == {"identity": "x"}
    again = PartFile(path, {"identity": "y"})  # it is there, and so is its header
    again.append(LINES[:1])
    assert read(path) == as_kept([*LINES, LINES[0]]) and again.header() == {"identity": "x"}


def test_cut_at_any_byte_it_holds_the_lines_before_and_takes_more(path, tmp_path):
    whole, ends = path.read_bytes(), [0]
    for line in path.read_bytes().splitlines(keepends=True):
        ends.append(ends[-1] + len(line))
    for size in range(len(whole) + 1):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:size])
        left = sum(end <= size for end in ends[2:])  # the header is the first
        assert read(cut) == as_kept(LINES[:left])
        part = PartFile(cut, {"identity": "x"})
        part.append(LINES[:1])
        part.close()
        assert read(cut) == as_kept([*LINES[:left], LINES[0]]) and PartFile(cut).header() == {"identity": "x"}


def test_a_changed_byte_loses_its_line_alone(path):
    whole = path.read_bytes()
    ends = [len(whole) - 1, whole.index(b"[1.5]"), whole.index(b"?"), whole.index(b"identity")]
    for place, left in zip(ends, (LINES[:2], LINES[:2], [LINES[0], LINES[2]], LINES), strict=True):
        path.write_bytes(whole[:place] + b"\x00" + whole[place + 1 :])
        assert read(path) == as_kept(left)
    assert PartFile(path).header() is None


def test_a_full_disk_is_told(path, monkeypatch):
    part = PartFile(path, {"identity": "x"})

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InputError, match=f"{path}: cannot be written .No space left on device.; make room there"):
        part.append(LINES)
