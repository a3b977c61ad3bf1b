import re

import pytest

from mixlm.atomic_files import checksum, whole_file
from mixlm.errors import InputError


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
