import json

import pytest

from mixlm.data.template import Template
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.tokens.sharding import MOST_VALID, Shard, Sharding
from mixlm.errors import InputError
from vqvae import VQVAETrainingOptions


def numbered(count: int) -> list[dict]:
    return [{"question": f"{i} + 1 ?", "steps": [f"{i} + 1 = {i + 1}"], "answer": str(i + 1)} for i in range(count)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sharding_of(source, **options) -> Sharding:
    return Sharding(str(source), EncodingOptions(**options))


def texts_of(source, **options) -> list[str]:
    samples = sharding_of(source, **options).samples(EncodingOptions(**options))
    return ["".join(Template().render(sample)) for sample in samples]


def rows_of(sharding: Sharding, split: str) -> list[list[int]]:
    return [sharding.numbers(shard).tolist() for shard in sharding.shards(split)]


def flat(shards: list[list[int]]) -> list[int]:
    return [number for shard in shards for number in shard]


@pytest.fixture
def forty(tmp_path):
    return write(tmp_path / "forty.jsonl", numbered(40))


def test_a_shard_is_a_fixed_range_of_rows_without_those_held_out(forty):
    sharding = sharding_of(forty, valid_fraction=0.2, shard_rows=9)
    train, valid = rows_of(sharding, "train"), rows_of(sharding, "valid")
    assert len(flat(valid)) == 8 and flat(valid) == sorted(flat(valid))
    for number, start in enumerate(range(0, 40, 9)):
        expected = [row for row in range(start, min(start + 9, 40)) if row not in flat(valid)]
        assert train[number] == expected
    assert [shard.name for shard in sharding.shards()] == [*(f"train-0000{i}.parquet" for i in range(5)), Valid.name]


Valid = Shard("valid", 0)


def test_what_is_held_out_is_a_matter_of_the_seed(forty):
    def held(seed: int, shard_rows: int = 9) -> list[int]:
        training = VQVAETrainingOptions(seed=seed)
        return flat(rows_of(sharding_of(forty, valid_fraction=0.2, training=training, shard_rows=shard_rows), "valid"))

    assert held(0) == held(0, shard_rows=3) != held(1)


def test_at_most_a_thousand_rows_are_held_out(tmp_path):
    sharding = sharding_of(write(tmp_path / "many.jsonl", numbered(2 * MOST_VALID + 10)), valid_fraction=0.5)
    assert len(flat(rows_of(sharding, "train"))) == MOST_VALID + 10
    assert len(flat(rows_of(sharding, "valid"))) == MOST_VALID


def test_a_file_of_validation_samples_takes_the_place_of_the_share(tmp_path, forty):
    valid = write(tmp_path / "b.jsonl", numbered(3))
    sharding = sharding_of(forty, valid=str(valid), valid_fraction=0.5, shard_rows=25)
    assert rows_of(sharding, "train") == [list(range(25)), list(range(25, 40))]
    assert rows_of(sharding, "valid") == [[0, 1, 2]] and len(sharding.sources["valid"]) == 3


@pytest.mark.parametrize(
    ("valid", "refused"),
    [("hub/x", True), ("hub/x@train", True), ("hub/x@test", False), ("hub/x:other", False), ("hub/y", False)],
)
def test_a_split_is_not_held_out_from_itself(monkeypatch, valid, refused):
    monkeypatch.setattr("mixlm.encoding.tokens.sharding.open_raw", lambda source: numbered(3))
    if not refused:
        assert sharding_of("hub/x", valid=valid).own_valid
        return
    with pytest.raises(InputError, match="holds the rows of hub/x, which are learned from; give others"):
        sharding_of("hub/x", valid=valid)


def test_a_folder_is_known_by_another_name_and_its_splits_are_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("mixlm.encoding.tokens.sharding.open_raw", lambda source: numbered(3))
    (tmp_path / "rows").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "rows")
    assert sharding_of(tmp_path / "rows", valid=f"{tmp_path}/link@test").own_valid
    with pytest.raises(InputError, match="which are learned from"):
        sharding_of(tmp_path / "rows", valid=str(tmp_path / "link"))


def test_texts_are_those_of_training_samples_alone(tmp_path, forty):
    options = {"valid_fraction": 0.2, "template": Template(separator=" ; ")}
    held = flat(rows_of(sharding_of(forty, **options), "valid"))
    expected = [f"{i} + 1 ?\n{i} + 1 = {i + 1}\n### {i + 1}" for i in range(40) if i not in held]
    assert texts_of(forty, **options) == expected
    other = write(tmp_path / "b.jsonl", [{"question": "zebra", "steps": [], "answer": "zebra"}])
    assert not any("zebra" in text for text in texts_of(forty, valid=str(other)))


def test_a_malformed_row_keeps_its_place_and_is_left_out_if_asked_for(tmp_path):
    source = tmp_path / "bad.jsonl"
    source.write_text(
        '{"question": "a", "steps": [], "answer": "1"}\n{\n{"question": "c", "steps": [], "answer": "3"}\n'
    )
    skipping = {"valid_fraction": 0, "skip_bad_rows": True}
    assert rows_of(sharding_of(source, **skipping), "train") == [[0, 1, 2]] and len(texts_of(source, **skipping)) == 2
    with pytest.raises(InputError, match="bad.jsonl:2: not valid JSON .*--skip-bad-rows"):
        texts_of(source, valid_fraction=0)


def test_a_file_without_samples_is_an_error(tmp_path):
    with pytest.raises(InputError, match="empty.jsonl: holds no samples"):
        sharding_of(write(tmp_path / "empty.jsonl", []))


def test_the_first_rows_tell_how_answers_are_compared(tmp_path, forty):
    """Malformed rows are no matter here: who reads them all will name them."""
    assert sharding_of(forty).check(EncodingOptions()) == "exact"
    rows = [{"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}, {"question": "no answer"}]
    assert sharding_of(write(tmp_path / "rows.jsonl", rows)).check(EncodingOptions()) == "number"
    labels = [{"question": "1 + 1?", "response": f"two: {label} 2"} for label in ("so", "or")]
    pattern = {"answer_pattern": r"(\d)$"}
    source = write(tmp_path / "labels.jsonl", labels)
    assert sharding_of(source, **pattern).check(EncodingOptions(**pattern)) == "number"
