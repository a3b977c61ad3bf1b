import json
import shutil
from pathlib import Path

import pytest

from mixlm.encoding.dataset import load_encoded
from mixlm.errors import InputError
from mixlm.evaluation.inputs import check_match, open_rows
from mixlm.evaluation.measuring.records import own_codes
from mixlm.generation.engine import Engine
from mixlm.run import Run, load_run
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.tiny_data import write_encoded, write_raw, write_scratch
from vqvae import Cutting
from vqvae.checksums import sealed


CUTTING = Cutting("step", 5, 5)  # rows have a step of 5 tokens, or two of 6 and 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps")
    write_encoded(folder, cutting=CUTTING)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    options = TrainingOptions("assorted", {"mix": "uniform"}, steps=1, batch_size=4, new_token_start="text")
    return train(folder / "encoded", write_scratch(folder), folder / "run", options)


def test_a_run_remembers_where_its_codes_end(run: Run, folder: Path) -> None:
    assert load_run(folder / "run").cutting == run.cutting == run.method.cutting == CUTTING
    card = (folder / "run" / "README.md").read_text()
    assert "4 codes, one for a step, or 5 trace tokens of a longer one" in card


def test_raw_rows_have_as_many_codes_as_encoded_ones(run: Run, folder: Path) -> None:
    """The rows are the same; the longer step of two has two codes."""
    raw = open_rows(write_raw(folder, 40), Engine(run, tokenizer=run.tokenizer()))
    encoded = load_encoded(folder / "encoded").train
    assert [row["trace_ids"] for row in raw] == encoded["trace_ids"][:]
    counts = [own_codes(row, run) for row in raw]
    assert counts == [len(codes) for codes in encoded["codes"]] and set(counts) == {1, 3}


def test_data_that_is_cut_otherwise_is_refused(run: Run, tmp_path: Path) -> None:
    write_encoded(tmp_path, cutting=Cutting("fixed", 5, 5))
    with pytest.raises(InputError, match="its align is fixed, that of .* step; give the run's own data"):
        open_rows(tmp_path / "encoded", Engine(run, tokenizer=run.tokenizer()))


def test_data_of_another_codebook_of_the_same_form_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    """Which both would be told by the checksums that they list."""
    shutil.copytree(folder / "encoded", tmp_path / "encoded")
    data = load_encoded(tmp_path / "encoded")
    weights = "vqvae/model.safetensors"
    for record, sums in ((folder / "run" / "mixlm.json", "one"), (tmp_path / "encoded" / "manifest.json", "other")):
        content = json.loads(record.read_text())
        kept = record.with_name("before")
        shutil.copy(record, kept)
        record.write_text(json.dumps(sealed({**content, "checksums": {weights: sums}})))
    with pytest.raises(
        InputError, match="its codes are of another codebook than those of .*; give the run's own data"
    ):
        check_match(data, Engine(run))
    shutil.move(folder / "run" / "before", folder / "run" / "mixlm.json")
