from dataclasses import replace

import pytest

from mixlm.encoded import read_manifest
from mixlm.encoding import encode_dataset
from mixlm.encoding_options import EncodingOptions
from mixlm.errors import InputError
from mixlm.models import build_tokenizer
from mixlm.template import Template
from tests.encoding_work import SHAPE, TRAINING, Work, contents, cut, write_traces
from tests.interruption import Interrupted


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return Work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def encoded(work):
    return work.encode()


@pytest.fixture
def fresh(tmp_path):
    return Work(tmp_path)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("shard_rows", {"shard_rows": 10}),
        ("training", {"training": replace(TRAINING, seed=1)}),
        ("shape", {"shape": {**SHAPE, "codebook_size": 5}}),
        ("template", {"template": Template(separator=" ")}),
        ("skip_bad_rows", {"skip_bad_rows": True}),
        ("dtype", {"dtype": "bfloat16"}),
    ],
)
def test_other_arguments_are_refused(work, encoded, name, changes):
    message = work.refuses(**changes)
    assert message == f"{encoded}: encoded with another {name}; give the same arguments, or another --out"


def test_what_decides_nothing_may_change(work, encoded):
    before = contents(encoded)
    work.encode(training=replace(TRAINING, save_every=3, workers=1))
    assert contents(encoded) == before


def test_traces_that_have_changed_are_refused(fresh):
    fresh.encode()
    fresh.traces.write_text(fresh.traces.read_text().replace("+", "-"))
    assert "encoded with another checksums" in fresh.refuses()


def test_a_tokenizer_that_has_changed_meanwhile_is_refused(fresh):
    fresh.model = fresh.folder / "model"
    build_tokenizer(["so now"], 300).save_pretrained(fresh.model)
    with pytest.raises(Interrupted):
        fresh.encode(progress=cut("encoding train", 9))
    build_tokenizer(["1 and 2 make 3"], 300).save_pretrained(fresh.model)
    assert "its tokenizer has changed since encoding was interrupted" in fresh.refuses()


def test_a_folder_of_something_else_is_refused(work):
    (work.folder / "thesis").mkdir()
    (work.folder / "thesis" / "chapter.txt").write_text("years of work")
    assert "thesis: exists and is no encoded dataset; choose another --out" in work.refuses("thesis")
    assert "traces.jsonl: exists and is no encoded dataset" in work.refuses("traces.jsonl")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": {**SHAPE, "codebook_size": 500}}, "codebook size 500 is larger than the {chunks} chunks"),
        ({"shape": {**SHAPE, "chunk_length": 64, "compression_rate": 64}}, "no trace has a whole chunk of 64 tokens"),
        ({"shape": {**SHAPE, "compression_rate": 3}}, "compression rate 3 does not divide chunk length 4"),
        ({"shape": {**SHAPE, "codebook_size": 1}}, "use at least 2 codes"),
        ({"vqvae": "nowhere"}, "nowhere: no trained VQ-VAE; give the vqvae/ folder"),
        ({"valid": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"template": Template(chat=True)}, "the tokenizer has no chat template; leave out --chat"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(work, encoded, changes, message):
    chunks = read_manifest(encoded)["counts"]["train"]["chunks"]
    assert message.format(chunks=chunks) in work.refuses("impossible", **changes)
    assert not (work.folder / "impossible").exists()


def test_a_model_of_another_tokenizer_is_refused(fresh, encoded):
    other = [{"question": "what", "steps": ["quite other words, and many of them"], "answer": "no"}] * 12
    write_traces(fresh.folder, other)
    message = fresh.refuses("other", vqvae=str(encoded / "vqvae"))
    assert "trained for another tokenizer than that of" in message and not (fresh.folder / "other").exists()


def test_a_model_whose_chunks_no_trace_fills_is_refused(work, encoded):
    short = work.folder / "short.jsonl"
    short.write_text('{"question": "1 + 2 ?", "steps": ["1"], "answer": "3"}\n')
    tokenizer = work.folder / "encoded" / "tokenizer"
    options = EncodingOptions(vqvae=str(encoded / "vqvae"))
    with pytest.raises(InputError, match="no trace has a whole chunk of 4 tokens"):
        encode_dataset(str(short), str(tokenizer), work.folder / "none", options)
    assert not (work.folder / "none").exists()
