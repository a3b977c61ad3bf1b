"""Odd paths and surroundings, those of a command that takes no time; ``make test-faults`` tries all commands."""

from importlib import import_module

import pytest

from tests.faults.calls import Ending
from tests.faults.environments import AS_EVER, READING, WRITING, Odd, Trial, all_calls
from tests.faults.surroundings import AROUND, INS, OUTS, drop_rights, place
from tests.tiny_data import write_raw


CONVERT = "data convert raw.jsonl --out disk/out.jsonl"


@pytest.fixture(scope="module")
def wrong():
    """What went wrong."""
    return []


@pytest.fixture(scope="module")
def trial(tmp_path_factory, wrong):
    """A trial of which nothing is made but rows."""
    folder, trial = tmp_path_factory.mktemp("environments"), Trial.__new__(Trial)
    trial.stock, trial.place, trial.report = folder / "stock", folder / "try", lambda *what: wrong.append(what)
    (trial.stock / "disk").mkdir(parents=True)
    import_module("datasets")  # once, and not in every fork
    write_raw(trial.stock, 4)
    trial.whole = {CONVERT: trial.call(Odd("as ever", CONVERT))}
    return trial


@pytest.mark.parametrize("kind", [*OUTS][::2])
def test_an_odd_place_is_written_or_refused_in_one_line(trial, wrong, kind):
    assert trial.run(Odd(f"writes {kind}", "data convert raw.jsonl --out @", OUTS[kind], drop_rights)) in DONE, wrong


@pytest.mark.parametrize("kind", [*INS][::3])
def test_an_odd_place_is_read_or_refused_in_one_line(trial, wrong, kind):
    assert trial.run(Odd(f"reads {kind}", "data convert @ --out out.jsonl", INS[kind], drop_rights)) in DONE, wrong


@pytest.mark.parametrize("kind", [*AROUND][::3])
def test_in_odd_surroundings_the_result_is_the_same_or_there_is_none(trial, wrong, kind):
    assert trial.run(Odd(kind, CONVERT, around=AROUND[kind])) in DONE, wrong


DONE = ("worked", "told", "skipped")


def test_every_command_meets_every_oddity():
    calls = all_calls()
    assert len(calls) == len(set((odd.kind, odd.line) for odd in calls)) > 1700
    assert len(calls) > len(WRITING) * len(OUTS) + len(READING) * len(INS) + len(AS_EVER) * len(AROUND)


def test_another_result_and_a_failure_that_changes_something_are_wrong(trial, tmp_path):
    odd, (_, result) = Odd("a dumb terminal", CONVERT), trial.whole[CONVERT]
    worked, failed = Ending(0, "", ""), Ending(1, "", "Error: no\n")
    trial.call(Odd("as ever", CONVERT))
    assert [trial.verdict(odd, worked, one) for one in (result, {})] == ["worked", "different"]
    assert trial.verdict(odd, failed, {}) == "told"
    (trial.place / "raw.jsonl").write_text("other")
    assert trial.verdict(odd, failed, {}) == "changed what was there"


def test_places_for_variables_are_what_they_are_called(tmp_path):
    assert not (tmp_path / place("missing")(tmp_path)).exists()
    with open(place("a file")(tmp_path)) as file:
        assert file.read() == "mine"
