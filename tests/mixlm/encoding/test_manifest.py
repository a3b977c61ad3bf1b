import json
from dataclasses import asdict
from pathlib import Path

import pytest

from mixlm.encoding.manifest import (
    changed_arguments,
    describe_arguments,
    earlier_manifest,
    holds_codes,
    read_manifest,
    write_manifest,
)
from mixlm.encoding.options import EncodingOptions
from mixlm.errors import InputError
from tests.tiny_data import write_encoded
from vqvae import VQVAETrainingOptions
from vqvae.options import VQVAEModelOptions


SHAPE = {"chunk_length": 4, "quantizer": "ema", "warmup_steps": None}


def arguments_of(**changes: object) -> dict:
    options = EncodingOptions(shape={**SHAPE, **changes}, training=VQVAETrainingOptions(steps=9))
    return describe_arguments("traces.jsonl", "model", options)


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    return write_encoded(tmp_path, count=6, valid=2)


def test_a_manifest_is_replaced_in_one_step(encoded, monkeypatch):
    before = (encoded / "manifest.json").read_text()

    def power_cut(*args):
        raise OSError("power cut")

    monkeypatch.setattr("os.replace", power_cut)
    with pytest.raises(OSError, match="power cut"):
        write_manifest(encoded, {**read_manifest(encoded), "complete": False})
    assert (encoded / "manifest.json").read_text() == before and json.loads(before)["complete"]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model-Q8_0.gguf", "config.json"])
def test_what_a_reader_is_made_of_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    """In a folder, and of a file that holds it all."""
    folder, file = tmp_path / "model", tmp_path / "model.gguf"
    folder.mkdir()
    for path, told in ((folder / name, folder), (file, file)):
        sums = []
        for content in ("one", "other", "one"):
            path.write_text(content)
            options = EncodingOptions(shape={"objective": "language-model"})
            sums.append(describe_arguments("traces.jsonl", str(told), options)["checksums"]["model"])
        assert sums[0] == sums[2] != sums[1]


def test_arguments_tell_what_follows_from_them_and_every_part_of_the_shape():
    told = arguments_of()["shape"]
    assert told == {**asdict(VQVAEModelOptions(**told)), "chunk_length": 4, "compression_rate": 4, "kmeans": True}
    assert (told["objective"], told["align"], told["quantizer"], told["warmup_steps"]) == (
        *("predictive", "step", "ema"),
        3,
    )
    assert arguments_of(quantizer="gradient")["shape"]["warmup_steps"] == 0
    assert arguments_of(warmup_steps=5)["shape"]["warmup_steps"] == 5


def test_arguments_are_other_ones_if_one_differs_or_is_missing():
    assert changed_arguments({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3, "d": 4}) == ["b", "c", "d"]


def test_another_choice_is_told_with_what_it_was(encoded):
    before = arguments_of()
    write_manifest(encoded, {**read_manifest(encoded), "arguments": before})
    assert earlier_manifest(encoded, before)["arguments"] == before
    for name, value in {"context": "trace", "kmeans": False, "objective": "reconstruction"}.items():
        other = {**before, "shape": {**before["shape"], name: value}}
        with pytest.raises(InputError, match=rf"encoded with another {name} \(.* now\); give the same arguments"):
            earlier_manifest(encoded, other)


def test_an_encoded_dataset_is_named_by_its_folder_alone(encoded):
    assert holds_codes(encoded) and not holds_codes(encoded / "tokenizer")
    with pytest.raises(InputError, match="is an encoded dataset; give its folder alone"):
        holds_codes(f"{encoded}@train")


@pytest.mark.parametrize(("name", "value"), [("arguments", None), ("check", ...), ("codebook", ...), ("shards", 1)])
def test_a_manifest_that_lacks_what_all_tell_is_damaged(encoded, name, value):
    told = {**read_manifest(encoded), name: value}
    write_manifest(encoded, {name: value for name, value in told.items() if value is not ...})
    with pytest.raises(InputError, match=f"manifest.json: tells no {name} as mixlm-encode writes it"):
        read_manifest(encoded)
