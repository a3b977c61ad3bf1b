"""Encoding whose codes are trained for the language model that will write them."""

from pathlib import Path

import pytest
import torch

from mixlm.encoding.dataset import open_vqvae
from mixlm.encoding.manifest import read_manifest
from mixlm.model.loading import open_model
from mixlm.model.tokenizers import open_tokenizer
from tests.encoding_work import SHAPE, Work, cut, tables
from tests.interruption import Interrupted
from tests.tiny_data import raw_rows
from vqvae import PredictiveVQVAE


VQVAE_FILES = {"config.json", "curve.jsonl", "model.safetensors", "usage.json"}
TAUGHT = {**SHAPE, "objective": "language-model", "align": "step", "chunk_length": None, "compression_rate": None}


@pytest.fixture(scope="module")
def trained(work: Work) -> str:
    """A folder with a random model in place of a trained one."""
    texts = [text for row in raw_rows(40) for text in (row["question"], *row["steps"], row["answer"])]
    tokenizer, folder = open_tokenizer(str(work.model), texts), work.folder / "trained"
    open_model(str(work.model), tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def taught(work: Work, trained: str, lines: list[str]) -> Path:
    pytest.importorskip("peft")
    return work.encode("taught", say=lines.append, model=trained, shape=TAUGHT, reader_lora_rank=2)


def test_codes_are_made_merged_and_measured_without_the_model(taught: Path, trained: str, lines: list[str]) -> None:
    manifest, model = read_manifest(taught), open_vqvae(taught / "vqvae")
    assert f"codes are trained for {trained}, which learns by a LoRA of rank 2" in lines
    assert type(model) is PredictiveVQVAE and model.config.objective == "language-model"
    assert not [name for name in model.state_dict() if "lora" in name or "delimiters" in name]
    assert {"codes_merged", "next_with", "prior_top1"} <= manifest["codebook"].keys()
    assert {path.name for path in (taught / "vqvae").iterdir()} == VQVAE_FILES


def test_an_interrupted_one_goes_on_and_gives_the_same_bits(fresh: Work, taught: Path, trained: str) -> None:
    given = {"model": trained, "shape": TAUGHT, "reader_lora_rank": 2}
    with pytest.raises(Interrupted):
        fresh.encode(advance_of=cut("training the VQ-VAE", 5), **given)
    assert "reader_lora_rank" in fresh.refuses(**{**given, "reader_lora_rank": 0})
    out = fresh.encode(**given)
    assert tables(out) == tables(taught)
    one, other = (open_vqvae(path / "vqvae").state_dict() for path in (out, taught))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_is_refused_in_one_line(fresh: Work, trained: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a model from scratch has learned nothing" in fresh.refuses(shape=TAUGHT)
    assert "does nothing without --objective language-model" in fresh.refuses(reader_lora_rank=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "trains in one process" in fresh.refuses(model=trained, shape=TAUGHT)
    assert not (fresh.folder / "encoded").exists()
