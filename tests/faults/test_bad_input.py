"""A part of the malformed rows and files of ``make test-faults``: every kind is refused, or read, as it should be."""

import pytest

from tests.faults import files, rows
from tests.faults.calls import Ending, load_libraries
from tests.faults.data_kinds import data_tries
from tests.faults.row_kinds import rows as drawn_rows
from tests.faults.yaml_kinds import yaml_tries


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with all that the calls read beside what is tried."""
    load_libraries()
    folder = tmp_path_factory.mktemp("faults")
    (folder / "base").mkdir()
    files.prepare(folder / "base")
    return folder


def fail(fault, what):
    pytest.fail(f"{fault}: {what}")


def test_rows_are_read_as_they_are_meant_or_refused_by_row_and_column(tmp_path):
    load_libraries()
    part = [*drawn_rows(200, seed=1)]
    assert 60 < sum(row.plain is not None for row in part) < 140
    assert rows.try_rows(part, tmp_path, fail)["rows"] == 200


@pytest.mark.parametrize("tries", [data_tries, yaml_tries])
def test_files_are_read_as_they_are_meant_or_refused_by_their_name(folder, tries):
    some = [one for one in tries() if one.command[0] not in ("train", "encode")][::12]
    assert files.try_files(some, folder, fail)["files"] == len(some) > 20


def test_the_same_seed_gives_the_same_rows_and_files(folder):
    assert [*drawn_rows(50, seed=3)] == [*drawn_rows(50, seed=3)] != [*drawn_rows(50, seed=4)]
    one, same, other = ([*files.all_tries(60, seed, folder / "base")] for seed in (3, 3, 4))
    assert [given.kind for given in one] == [given.kind for given in same] != [given.kind for given in other]


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        (Ending(0, "wrote 1 rows", ""), None),
        (Ending(1, "", "Error: rows.jsonl:1: no text\n"), None),
        (Ending(2, "", "Usage: mixlm data\nTry 'mixlm --help' for help.\n\nError: no\n"), None),
        (Ending(1, "", "Error: a\nb\n"), "not one line"),
        (Ending(1, "", ""), "not one line"),
        (Ending(1, "", "Traceback (most recent call last)\nError: a\n"), "tracebacks"),
        (Ending(-11, "", ""), "crashes"),
        (Ending(None, "", ""), "hangs"),
    ],
)
def test_what_no_command_may_do_is_told(ending, fault):
    assert ending.fault == fault
