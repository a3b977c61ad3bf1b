import pytest
import torch

from mixlm.generation.engine import Engine
from mixlm.generation.explain import LatentReader
from mixlm.report.chips import chips_of
from tests.tiny_runs import tiny_model, tiny_run, tiny_tokenizer, tiny_vqvae


ROWS = [{"row": number, "prompt_ids": prompt} for number, prompt in enumerate([[1, 2], [3, 4, 5], [6]])]
RECORDS = [{"row": 0, "codes": [3, 1, 3]}, {"row": 1, "codes": []}, {"row": 2, "codes": [0]}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    tiny_vqvae([1, 2, 3, 4, 5, 6, 7]).save_pretrained(path / "vqvae")
    return Engine(tiny_run(path=path), tiny_model("llama"), tiny_tokenizer())


def test_shares_and_alternatives_are_the_models_softmax_over_latents(engine):
    found, special = chips_of(engine, ROWS, RECORDS, None), engine.run.ids
    assert [one and one["codes"] for one in found] == [[3, 1, 3], None, [0]]
    for row, chips in zip(ROWS, found, strict=True):
        given = [*row["prompt_ids"], special.bo_latent]
        for place, code in enumerate(chips["codes"] if chips else []):
            with torch.no_grad():
                logits = engine.model(torch.tensor([given])).logits[0, -1, list(special.latent_ids)]
            shares = logits.float().softmax(-1)
            assert chips["shares"][place] == pytest.approx(shares[code].item(), abs=1e-4)
            order = shares.argsort(descending=True).tolist()
            assert [other for other, _ in chips["alternatives"][place]] == order
            assert [share for _, share in chips["alternatives"][place]] == pytest.approx(
                shares[order].tolist(), abs=1e-4
            )
            given.append(special.latent(code))


def test_texts_are_those_that_explain_reads_back(engine):
    reader = LatentReader(engine)
    found = chips_of(engine, ROWS, RECORDS, reader)
    for row, chips in zip(ROWS, found, strict=True):
        if chips:
            readings = reader.read(chips["codes"], row["prompt_ids"])
            assert chips["texts"] == [reading.text for reading in readings]
            assert chips["sure"] == pytest.approx([reading.probability for reading in readings], abs=1e-3)


def test_where_latents_stand_between_text_no_alternatives_are_told(engine):
    run = tiny_run("assorted", engine.run.path)
    run.method_name = "assorted-poisson"
    found = chips_of(Engine(run, engine.model, engine.tokenizer), ROWS, RECORDS, None)
    assert found == [{"codes": [3, 1, 3]}, None, {"codes": [0]}]
