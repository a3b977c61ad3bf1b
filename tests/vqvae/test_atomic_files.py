import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from vqvae.atomic_files import checksum, draft_of, remove_drafts, whole_file, whole_folder
from vqvae.errors import InputError


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "out.jsonl"
    with whole_file(path) as file:
        file.write("one\n")
        assert not path.exists()
    assert path.read_text() == "one\n"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_replaced_and_not_overwritten(tmp_path):
    path, other_name = tmp_path / "out.jsonl", tmp_path / "link"
    path.write_text("old\n")
    other_name.hardlink_to(path)
    with whole_file(path) as file:
        file.write("new\n")
    assert (path.read_text(), other_name.read_text()) == ("new\n", "old\n")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_old_file_stands(tmp_path, error):
    path = tmp_path / "out.jsonl"
    path.write_text("old\n")
    with pytest.raises(error), whole_file(path) as file:
        file.write("new\n")
        raise error
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_found_at_once(tmp_path):
    for path in (tmp_path / "missing" / "out.jsonl", tmp_path):
        with pytest.raises(InputError, match="cannot be written"), whole_file(path):
            raise AssertionError("the block must not run")


def test_a_checksum_is_sha256_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert checksum(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    for path in (tmp_path / "no", tmp_path):
        with pytest.raises(InputError, match=f"^{re.escape(str(path))}: cannot be read"):
            checksum(path)


def test_a_draft_of_a_killed_process_is_taken_over(tmp_path):
    draft_of(tmp_path / "out").write_text("half of something that was much longer")
    with whole_file(tmp_path / "out") as file:
        file.write("whole\n")
    assert (tmp_path / "out").read_text() == "whole\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_writers_of_one_file_take_turns_and_one_that_waits_in_vain_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "out"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda text: _write(path, text), [letter * 50_000 for letter in "abcdefgh"]))
    assert len(path.read_text()) == 50_000 and len({*path.read_text()}) == 1
    monkeypatch.setattr("vqvae.atomic_files.PATIENCE", 0.0)
    with whole_file(path) as file:
        with pytest.raises(InputError, match="another process writes it"), whole_file(path):
            raise AssertionError("the block must not run")
        file.write("first")
    assert path.read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def _write(path, text):
    with whole_file(path) as file:
        file.write(text)


def test_a_folder_appears_when_it_is_whole_and_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "deep" / "folder"
    for name in ("old", "new"):
        with whole_folder(path) as draft:
            (draft / "below").mkdir()
            (draft / "below" / name).touch()
            assert [*tmp_path.rglob("new")] == [draft / "below" / "new"] * (name == "new")
    with pytest.raises(ZeroDivisionError), whole_folder(path) as draft:
        (draft / "half").touch()
        raise ZeroDivisionError
    assert sorted(str(found.relative_to(tmp_path)) for found in tmp_path.rglob("*")) == [
        "deep",
        "deep/folder",
        "deep/folder/below",
        "deep/folder/below/new",
    ]


def test_drafts_are_removed_at_any_depth_and_nothing_else(tmp_path):
    (tmp_path / "below" / ".folder.tmp" / "deep").mkdir(parents=True)
    (tmp_path / "below" / ".file.tmp").touch()
    (tmp_path / "below" / ".tmpAb3dE9").touch()
    for name in ("file.tmp", ".hidden", "file"):
        (tmp_path / "below" / name).touch()
    remove_drafts(tmp_path)
    assert sorted(path.name for path in (tmp_path / "below").iterdir()) == [".hidden", "file", "file.tmp"]
