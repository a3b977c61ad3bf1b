import json
from pathlib import Path

import pytest

from mixlm.errors import InputError
from pipelines.grid.attempts import Attempts
from pipelines.grid.plan import Part
from pipelines.shared.jobs import Job


READ = {"rows.jsonl": "4c"}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return Attempts(path)


def attempt(part, seconds, cpu_seconds, identity="one"):
    return {"part": part, "identity": identity, "command": "x", "seconds": seconds, "cpu_seconds": cpu_seconds}


def part(name, identity="one", *options):
    return Part(Job(name, ("train", *options)), name.split()[0], Path("finished"), identity)


def test_seconds_are_those_of_the_same_work(tmp_path):
    """With another micro-batch a training goes on; with another number of steps it is another one."""
    tried = [
        ("one", "--steps 9"),
        ("two", "--steps 9 --micro-batch-size 4"),
        ("three", "--steps 5"),
        ("four", "--steps 9"),
    ]
    lines = [
        {**attempt("train a-0", 1, 2**place, identity), "command": f"mixlm-train {options}"}
        for place, (identity, options) in enumerate(tried)
    ]
    now = part("train a-0", "two", "--steps", "9", "--micro-batch-size", "4")
    assert write(tmp_path / "parts.jsonl", *lines).seconds([now]) == {"train": {"wall": 3, "cpu": 11}}


@pytest.mark.parametrize(
    ("kind", "now", "before", "same"),
    [
        ("evaluate", "--batch-size 4", "--batch-size 8", True),
        ("evaluate", "--batch-size 4 --temperature 0", "--temperature 0", True),
        ("evaluate", "--batch-size 4 --temperature 0.7", "--batch-size 8 --temperature 0.7", False),
        ("train", "--select last --save-every 5", "--select last --save-every 9", True),
        ("train", "--select loss --save-every 5", "--select loss --save-every 9", False),
    ],
)
def test_an_option_counts_where_it_makes_the_command_start_anew(tmp_path, kind, now, before, same):
    line = {**attempt(f"{kind} a-0", 1, 2, "before"), "command": f"{Job('x', (kind,)).line()} {before}"}
    one = Part(Job(f"{kind} a-0", (kind, *now.split())), kind, Path("finished"), "now")
    assert write(tmp_path / "parts.jsonl", line).seconds([one]) == ({kind: {"wall": 1, "cpu": 2}} if same else {})


def test_seconds_are_the_sum_over_attempts_and_parts_of_a_kind(tmp_path):
    parts = [attempt("train cot-0", 3, 2), attempt("train cot-1", 50, 50), attempt("train cot-0", 4, 1)]
    parts += [attempt("train cot-0", 900, 800, "of another number of steps")]
    parts += [attempt("train late-0", 10, 5), attempt("data train", 1, 1), attempt("evaluate late-0", 2, 1.5)]
    attempts = write(tmp_path / "parts.jsonl", *parts)
    names = ("train cot-0", "train late-0", "evaluate late-0", "train no-0")
    assert attempts.seconds(map(part, names)) == {"train": {"wall": 17, "cpu": 8}, "evaluate": {"wall": 2, "cpu": 1.5}}


def test_an_attempt_is_noted_with_its_time_whether_it_ends_well_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr("time.monotonic", iter([100.0, 103.0, 200.0, 204.5]).__next__)
    attempts = Attempts(tmp_path / "parts.jsonl")
    with attempts.noted("train a-0", "one", "mixlm-train a", READ) as record:
        record["cpu_seconds"] = 1.5
    with pytest.raises(InputError, match="broken"), attempts.noted("train a-0", "one", "mixlm-train a", READ):
        raise InputError("broken")
    lines = [json.loads(line) for line in (tmp_path / "parts.jsonl").read_text().splitlines()]
    assert [line["cpu_seconds"] for line in lines] == [0.0, 1.5, 0.0]
    assert {(line["part"], line["identity"], line["command"]) for line in lines} == {
        ("train a-0", "one", "mixlm-train a")
    }
    assert [line["seconds"] for line in lines] == [0.0, 3.0, 4.5]
    assert attempts.failure("train a-0") == "broken" and attempts.failure("train b-0") is None
    assert Attempts(tmp_path / "parts.jsonl").seconds([part("train a-0")])["train"]["cpu"] == 1.5


def test_what_was_tried_is_known_even_of_an_attempt_that_never_ended(tmp_path):
    path = tmp_path / "parts.jsonl"
    with Attempts(path).noted("train a-0", "one", "x", READ):
        assert (Attempts(path).identity("train a-0"), Attempts(path).inputs("train a-0")) == ("one", READ)
    for identity, inputs in (("two", READ), ("two", {"rows.jsonl": "5d"})):
        with Attempts(path).noted("train a-0", identity, "x", inputs):
            attempts = Attempts(path)
            assert (attempts.identity("train a-0"), attempts.inputs("train a-0")) == (identity, inputs)
    assert attempts.identity("train b-0") is None and attempts.inputs("train b-0") == {}


def test_lines_without_identity_are_trusted(tmp_path):
    old = {"part": "train a-0", "command": "x", "seconds": 1.0, "cpu_seconds": 1.0}
    attempts = write(tmp_path / "parts.jsonl", old)
    assert attempts.identity("train a-0") is None and attempts.inputs("train a-0") == {}


@pytest.mark.parametrize("broken", ['{"part": "tr', "5", '{"part": "a"}', '{"seconds": 1, "cpu_seconds": 1}'])
def test_a_broken_line_is_named_by_its_number(tmp_path, broken):
    path = tmp_path / "parts.jsonl"
    path.write_text(json.dumps(attempt("a", 1, 1)) + f"\n{broken}\n")
    with pytest.raises(InputError, match="parts.jsonl:2: is no attempt"):
        Attempts(path)
