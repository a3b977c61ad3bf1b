import json
import re
import shutil

import pytest

from mixlm.damage import RECORDS, RUN_RECORD, folder_sums, require_whole
from mixlm.encoding import MANIFEST
from mixlm.encoding.dataset import load_encoded, open_vqvae
from mixlm.errors import InputError
from mixlm.model.loading import open_model
from mixlm.model.tokenizers import open_tokenizer
from mixlm.run import load_run
from tests.encoding_work import Work
from tests.tiny_runs import saved_run
from vqvae.checksums import SUMS


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run."""
    return saved_run(tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture
def run(whole, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(whole, tmp_path / "run")


def flip(file) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


OPENING = {
    "config.json": load_run,
    "generation_config.json": load_run,
    "tokenizer.json": load_run,
    "model.safetensors": lambda path: load_run(path).load_model(),
    "vqvae/model.safetensors": lambda path: open_vqvae(path / "vqvae"),
    "vqvae/config.json": lambda path: open_vqvae(path / "vqvae"),
}


def test_the_records_are_those_that_are_written():
    assert RECORDS == (RUN_RECORD, MANIFEST)


@pytest.mark.parametrize("name", OPENING)
@pytest.mark.parametrize("harm", [flip, lambda file: file.unlink(), lambda file: file.write_bytes(b"")])
def test_a_damaged_file_of_a_run_is_named_before_it_is_used(run, name, harm):
    OPENING[name](run)
    harm(run / name)
    with pytest.raises(InputError, match=f"^{re.escape(str(run / name))}: (changed|missing) since .*--accept"):
        OPENING[name](run)


def test_a_run_is_looked_at_when_it_is_a_base_model_too(run):
    tokenizer = open_tokenizer(str(run))
    flip(run / "model.safetensors")
    open_tokenizer(str(run))  # which reads no weights
    with pytest.raises(InputError, match="model.safetensors: changed since"):
        open_model(str(run), tokenizer)
    flip(run / "tokenizer.json")
    with pytest.raises(InputError, match="tokenizer.json: changed since"):
        open_tokenizer(str(run))


def test_one_changed_digit_of_the_record_is_told(run):
    record = run / RUN_RECORD
    record.write_text(record.read_text().replace('"steps_per_epoch": 1', '"steps_per_epoch": 2'))
    with pytest.raises(InputError, match=rf"^{record}: damaged \(its content has changed since .*--accept"):
        load_run(run)


def test_files_of_two_runs_that_were_exchanged_are_told(run, tmp_path):
    other = saved_run(tmp_path / "other", "pause").path
    shutil.copy(other / "model.safetensors", run)
    with pytest.raises(InputError, match="model.safetensors: changed since"):
        load_run(run).load_model()


def test_a_folder_is_found_by_whatever_path_names_it(run, monkeypatch):
    flip(run / "vqvae" / "model.safetensors")
    monkeypatch.chdir(run / "vqvae")
    for path in (".", "../vqvae", "../../run/vqvae/", run / "vqvae"):
        with pytest.raises(InputError, match="model.safetensors: changed"):
            open_vqvae(path)


def test_what_lists_no_checksums_is_taken_as_it_is(run, tmp_path):
    values = json.loads((run / RUN_RECORD).read_text())
    for name in (SUMS, "digest"):
        del values[name]
    (run / RUN_RECORD).write_text(json.dumps(values))
    (run / "generation_config.json").unlink()
    load_run(run).load_model()
    require_whole(tmp_path), require_whole(tmp_path / "nothing"), require_whole("gpt2")


def test_cards_logs_and_records_are_not_covered(tmp_path):
    for name in ("README.md", "a.log", "curve.jsonl", ".hidden.json", "config.json", *RECORDS):
        (tmp_path / name).write_text("x")
    assert folder_sums(tmp_path).keys() == {"config.json"}


def test_a_damaged_file_of_an_encoded_dataset_is_named_before_it_is_used(tmp_path):
    encoded = Work(tmp_path).encode()
    for name in ("train-00000.parquet", "vqvae/usage.json", "vqvae/model.safetensors", "tokenizer/tokenizer.json"):
        copy = shutil.copytree(encoded, tmp_path / name.replace("/", "-"))
        flip(copy / name)
        with pytest.raises(InputError, match=f"^{re.escape(str(copy / name))}: changed since"):
            load_encoded(copy)
