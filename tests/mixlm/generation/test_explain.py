import json
import shutil

import pytest
import torch

from mixlm.encoding.code_usage import read_usage
from mixlm.errors import InputError
from mixlm.generation.engine import Engine
from mixlm.generation.explain import LatentReader
from mixlm.model.special_tokens import latent_name
from tests.tiny_runs import WORDS, saved_run, tiny_run, tiny_tokenizer, tiny_vqvae
from vqvae import ChunkVQVAEConfig, PredictiveVQVAE
from vqvae.model.vocabulary import ENDED, UNKNOWN


TOKENIZER = tiny_tokenizer()
KNOWN = [1, 2, 3, 4, 5, 6, 7]
PROMPT = [1, 2, 3]


def make_reader(tmp_path, codes_per_chunk: int = 1, usage: dict | None = None) -> LatentReader:
    run = tiny_run(path=tmp_path)
    tiny_vqvae(KNOWN, codes_per_chunk).save_pretrained(tmp_path / "vqvae")
    if usage:
        (tmp_path / "vqvae" / "usage.json").write_text(json.dumps(usage))
    return LatentReader(Engine(run, tokenizer=TOKENIZER))


@pytest.mark.parametrize(
    ("method", "objective", "in_place"),
    [
        ("assorted", "predictive", True),
        ("assorted-poisson", "reconstruction", True),
        ("assorted-poisson", "predictive", False),
    ],
)
def test_latents_anywhere_are_read_as_trained_where_a_code_tells_its_own_chunk(tmp_path, method, objective, in_place):
    vqvae = tiny_vqvae(KNOWN)
    if objective == "predictive":
        vqvae = PredictiveVQVAE(ChunkVQVAEConfig(**{**vqvae.config.to_dict(), "objective": objective}), KNOWN)
    vqvae.save_pretrained(tmp_path / "vqvae")
    assert LatentReader(Engine(tiny_run(method, path=tmp_path), tokenizer=TOKENIZER)).in_place == in_place


def test_text_and_probability_are_the_decoders(tmp_path):
    reader = make_reader(tmp_path)
    readings = reader.read([4, 0, 4], PROMPT)
    assert [reading.code for reading in readings] == [4, 0, 4]
    assert readings[0] == readings[2]
    for reading in readings:
        ids = reader.vqvae.decode(torch.tensor([[reading.code]]), torch.tensor([PROMPT]))[0].tolist()
        logits = reader.vqvae.decode_logits(torch.tensor([[reading.code]]), torch.tensor([PROMPT]))[0]
        assert reading.text.split() == [WORDS[token] if token >= 0 else "\ufffd" for token in ids]
        assert reading.probability == pytest.approx(logits.softmax(-1).amax(-1).mean().item(), rel=1e-5)
        assert reading.chunks == ()
    assert reader.read([], PROMPT) == []


def test_the_prompt_matters_and_a_long_one_keeps_its_end(tmp_path):
    reader = make_reader(tmp_path)
    assert reader.read([3], PROMPT)[0].probability != reader.read([3], [5, 6])[0].probability
    assert reader.read([3], [7, 7, 1, 2, 3, 1, 2, 3]) == reader.read([3], [1, 2, 3, 1, 2, 3])


def test_an_incomplete_last_chunk_reads_as_far_as_it_goes(tmp_path):
    reader = make_reader(tmp_path, codes_per_chunk=2)  # L = 2, r = 1
    whole = reader.read([4, 2, 1, 3], PROMPT)
    part = reader.read([4, 2, 1], PROMPT)
    assert [reading.text for reading in part] == [reading.text for reading in whole[:3]]
    assert [r.probability for r in part] == pytest.approx([r.probability for r in whole[:3]])
    assert all(len(reading.text.split()) <= 1 for reading in whole)


def test_a_text_is_read_up_to_its_end(tmp_path, monkeypatch):
    """Of texts of three tokens at most: one of two, one of three, none. What follows an end does not count."""
    reader = make_reader(tmp_path)
    ids = torch.tensor([[1, 2, ENDED, 3, UNKNOWN, 4, ENDED, ENDED, ENDED]])
    sure = torch.tensor([[0.5, 0.25, 0.9, 0.5, 0.5, 0.5, 0.75, 0.9, 0.9]])
    reader.vqvae.config.chunk_length = reader.vqvae.config.compression_rate = 3
    monkeypatch.setattr(reader.vqvae, "read_codes", lambda codes, prompt_ids: (ids, sure))
    readings = reader.read([4, 2, 0], PROMPT)
    assert [(one.code, one.text) for one in readings] == [(4, "a b"), (2, "c\ufffdd"), (0, "")]
    assert [one.probability for one in readings] == [0.375, 0.5, 0.75]


def test_tokens_that_stage_1_never_saw_are_marked(tmp_path):
    reader = make_reader(tmp_path)
    assert reader._text([1, -1, -1, 2]) == "a\ufffdb"
    assert reader._text([-1]) == "\ufffd"
    assert reader._text([1, 2]) == "a b"


def test_shares_are_of_all_that_a_code_stood_for(tmp_path):
    usage = {"totals": {"4": 10, "0": 99}, "chunks": {"4": [["a b", 6], ["c\n", 1]], "0": [["d", 99]]}}
    reader = make_reader(tmp_path, usage=usage)
    read, unused = reader.read([4, 2], PROMPT)
    assert read.chunks == (("a b", 0.6), ("c\n", 0.1))
    assert unused.chunks == ()


@pytest.mark.parametrize("content", ["{", "[]", '{"chunks": {"0": [["a", 1]]}}', '{"totals": {}, "chunks": {"0": 3}}'])
def test_a_damaged_usage_file_is_named(tmp_path, content):
    path = tmp_path / "usage.json"
    path.write_text(content)
    with pytest.raises(InputError, match="usage.json: damaged"):
        read_usage(path)


def test_a_run_without_stage_1_says_what_to_do(tmp_path):
    run = saved_run(tmp_path / "run")
    shutil.rmtree(run.path / "vqvae")
    with pytest.raises(InputError, match="no vqvae folder.*leave out --explain"):
        LatentReader(Engine(run))
    assert latent_name(4) in run.tokenizer().get_vocab()
