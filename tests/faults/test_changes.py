"""Where a command is ended, and what a loss of power takes, on changes that are written down here."""

import pytest

from tests.faults.changes import Change, lose_power, not_durable, points, read_changes


def changes(folder, text: str) -> list[Change]:
    """Changes of lines "CALL PATH [PATH] [SIZE]", all of them made."""
    found = []
    for number, line in enumerate(text.strip().splitlines(), 1):
        call, *rest = line.split()
        size = int(rest.pop()) if rest[-1].isdigit() else -1
        paths = [str(folder / name) if name != "." else str(folder) for name in rest]
        found.append(Change(number, call, paths[0], paths[1] if paths[1:] else "", size, True))
    return found


WHOLE = """
    open .a.tmp
    write .a.tmp 4
    sync .a.tmp 4
    rename .a.tmp a
    sync .
"""


def test_a_log_is_read_with_what_was_made_and_what_failed(tmp_path):
    log = tmp_path / "log"
    log.write_text("1 open /w/a b\n=1 0\n2 rename /w/a b\t/w/c\n=2 failed\n3 write /w/a b\n")
    assert read_changes(log) == [
        Change(1, "open", "/w/a b", "", 0, True),
        Change(2, "rename", "/w/a b", "/w/c", -1, False),
        Change(3, "write", "/w/a b", "", -1, False),
    ]


def test_every_state_between_two_changes_is_a_point_once(tmp_path):
    found = points(changes(tmp_path, WHOLE))
    # a sync changes no file, so what is before the change after it is what was before the sync
    assert [number for number, how in found if how == "before"] == [1, 2, 3, 5]
    assert [number for number, how in found if how == "power"] == [1, 2, 3, 4, 5]
    assert [point for point in found if point[1] in ("half", "after")] == [(2, "half"), (5, "after")]


def test_of_writes_to_one_file_in_a_row_the_first_and_the_last_are_points(tmp_path):
    text = "open a\n" + "write a 1\n" * 5 + "write b 1"
    found = points(changes(tmp_path, text))
    assert [number for number, how in found if how == "before"] == [1, 2, 6, 7]
    assert [number for number, how in found if how == "half"] == [6, 7]


def test_a_loss_of_power_leaves_what_a_sync_has_brought_to_disk(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("12345678")
    lose_power(changes(tmp_path, "open a\nwrite a 4\nsync a 4\nwrite a 8\nopen .b\nwrite .b 8\nrename .b b"))
    assert [(tmp_path / name).read_text() for name in ("a", "b", "c")] == ["1234", "", "12345678"]


def test_a_file_that_is_synced_before_its_name_appears_and_its_folder_after_is_durable(tmp_path):
    assert not_durable(changes(tmp_path, WHOLE), tmp_path, ()) == []


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ("sync .a.tmp 4", ["data of .a.tmp when a appears", "data of a at the end"]),
        ("sync .", ["name a at the end"]),
    ],
)
def test_a_missing_sync_is_told(tmp_path, left_out, told):
    text = WHOLE.replace(f"{left_out}\n", "\n", 1).replace("\n    \n", "\n")
    assert not_durable(changes(tmp_path, text), tmp_path, ()) == told


def test_a_folder_that_gets_its_name_must_be_on_disk_with_all_that_is_below(tmp_path):
    text = "mkdir .d.tmp\nopen .d.tmp/x\nwrite .d.tmp/x 3\nsync .d.tmp/x 3\nrename .d.tmp d\nsync .\nsync d"
    assert not_durable(changes(tmp_path, text), tmp_path, ()) == ["name .d.tmp/x when d appears"]


def test_what_a_finished_folder_is_known_by_comes_after_all_that_is_in_it(tmp_path):
    text = "mkdir run\nopen run/model\nwrite run/model 5\nopen run/.m\nsync run/.m\nrename run/.m run/mixlm.json"
    found = not_durable(changes(tmp_path, text), tmp_path, ())
    assert "data of run/model when run/mixlm.json appears" in found


def test_folders_of_which_nothing_is_promised_are_passed_over(tmp_path):
    assert not_durable(changes(tmp_path, "mkdir tmp\nopen tmp/x\nwrite tmp/x 3\nsync ."), tmp_path, ("tmp",)) == []
