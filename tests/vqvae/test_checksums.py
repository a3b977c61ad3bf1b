import json

import pytest

from vqvae.checksums import DIGEST, changes, sealed, sums_of, unsealed


CONTENT = {"steps": 24, "rate": 1e-05, "name": "\N{GREEK SMALL LETTER ALPHA}", "inner": {"2": [None, True]}}


def test_what_is_sealed_reads_back_and_every_changed_character_is_told():
    text = json.dumps(sealed(CONTENT), ensure_ascii=False, indent=2)
    assert unsealed(text) == CONTENT
    for place in range(len(text)):
        changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        try:
            read = unsealed(changed)
        except ValueError:
            continue
        read = {name: value for name, value in read.items() if name in CONTENT}
        assert read == CONTENT, changed  # the name of the digest itself, or a space


def test_what_was_sealed_may_be_laid_out_otherwise_and_sealed_again():
    again = sealed({**sealed(CONTENT), DIGEST: "old"})
    assert unsealed(json.dumps(again, indent=7, sort_keys=True)) == CONTENT


@pytest.mark.parametrize("content", [{1: 2}, {"a": (1, 2)}, {"a": float("inf")}])
def test_a_seal_is_of_what_json_makes_of_values(content):
    assert unsealed(json.dumps(sealed(content))) == json.loads(json.dumps(content))


def test_what_was_never_sealed_is_read_as_it_is():
    assert unsealed('{"a": 1}') == {"a": 1}
    for text in ("[1]", "{", b"\xff", ""):
        with pytest.raises(ValueError):
            unsealed(text)


def test_changed_and_missing_files_are_named(tmp_path):
    (tmp_path / "inner").mkdir()
    files = [tmp_path / "a", tmp_path / "inner" / "b", tmp_path / "c"]
    for file in files:
        file.write_bytes(b"abc")
    sums = sums_of(tmp_path, files)
    assert list(sums) == ["a", "c", "inner/b"] and sums["a"].startswith("ba7816bf")  # FIPS 180-2, appendix B.1
    assert [*changes(tmp_path, sums)] == []
    files[0].write_bytes(b"abd")
    files[1].unlink()
    files[2].unlink()
    files[2].mkdir()
    assert [*changes(tmp_path, sums)] == [
        ("a", "changed"), ("c", "unreadable (Is a directory)"), ("inner/b", "missing"),
    ]  # fmt: skip
