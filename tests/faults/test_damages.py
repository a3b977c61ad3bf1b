"""The trial of damages: what it tries, and what it calls wrong."""

from tests.faults.calls import Ending
from tests.faults.damages import Damage, Trial, damages


def test_every_file_that_decides_something_is_damaged_in_every_way(tmp_path):
    for name, content in (("stock/run/a", b"12345678"), ("other/run/a", b"87654321"), ("stock/run/README.md", b"x")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = {damage.kind: damage.content for damage in damages(tmp_path / "stock", tmp_path / "other", "run")}
    assert found == {
        "a bit at 0 of 8": b"02345678",
        "a bit at 2 of 8": b"12245678",
        "a bit at 4 of 8": b"12344678",
        "a bit at 6 of 8": b"12345668",
        "a bit at 7 of 8": b"12345679",
        "the first 0 of 8 bytes": b"",
        "the first 4 of 8 bytes": b"1234",
        "the first 7 of 8 bytes": b"1234567",
        "removed": None,
        "another's": b"87654321",
    }


def test_what_is_neither_told_nor_without_effect_is_wrong():
    trial = Trial.__new__(Trial)
    trial.whole = {"generate": (Ending(0, "", ""), {"printed": b"4"}), "check": (Ending(0, "", ""), {"printed": b"4"})}
    damage = Damage("run/model.safetensors", "removed", None)
    told, other = Ending(1, "", "Error: run/model.safetensors: missing\n"), Ending(1, "", "Error: no\n")
    came = [trial.verdict("generate", *one, damage) for one in ((told, {}), (other, {}))]
    came += [trial.verdict("generate", Ending(0, "", ""), {"printed": text}, damage) for text in (b"4", b"5")]
    came += [trial.verdict("check", Ending(0, "", ""), {"printed": b"4"}, damage)]
    assert came == ["told", "file not named", "same", "different", "different"]
