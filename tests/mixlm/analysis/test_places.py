import pytest
import torch

from mixlm.analysis.places import ChunkedSequence, Scored, as_latents, as_text, place_rows, score_chunks
from mixlm.analysis.suite import Case, analyze
from mixlm.errors import InputError
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.model.special_tokens import SpecialIds
from tests.mixlm.analysis.test_interventions import IDS, OPTIONS, TOKENIZER, model
from tests.tiny_runs import tiny_run


ROWS = [
    {"prompt_ids": [1, 2], "trace_ids": [3, 4, 5, 6, 7], "solution_ids": [9, 0], "codes": [2, 4], "code_ends": [2, 4]},
    {"prompt_ids": [1, 2, 3, 4], "trace_ids": [5, 6], "solution_ids": [9, 0], "codes": [0], "code_ends": [2]},
]


def test_where_chunks_stand() -> None:
    method = tiny_run(ids=SpecialIds(eos=0, bo_latent=20, eo_latent=21, first_latent=22, codebook_size=5)).method
    assert as_latents(ROWS[0], method) == ChunkedSequence([1, 2, 20, 24, 26, 21, 7, 9, 0], start=3, lengths=[1, 1])
    assert as_text(ROWS[0], method) == ChunkedSequence([1, 2, 3, 4, 5, 6, 7, 9, 0], start=2, lengths=[2, 2])


@pytest.mark.parametrize("form", [as_latents, as_text])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_chunk_is_predicted_token_by_token_from_all_before(form, batch_size) -> None:
    """Against one forward pass for each token, softmax over the tokens that take part."""
    run, lm = tiny_run(ids=IDS), model()
    among = [*IDS.latent_ids] if form is as_latents else [*range(1, 12)]
    chunks = [form(row, run.method) for row in ROWS]
    found = score_chunks(lm, chunks, among, batch_size)
    assert found.place == [1, 2, 1]
    right, nats = [], []
    for one in chunks:
        place = one.start
        for length in one.lengths:
            hits, total = True, 0.0
            for at in range(place, place + length):
                with torch.no_grad():
                    logits = lm(torch.tensor([one.ids[:at]])).logits[0, -1]
                shares = logits[among].softmax(-1)
                hits &= among[shares.argmax()] == one.ids[at]
                total -= shares[among.index(one.ids[at])].log().item()
            right.append(hits)
            nats.append(total)
            place += length
    assert found.right == right
    assert found.nats == pytest.approx(nats, rel=1e-5)


def test_means_by_place() -> None:
    latents = Scored([1, 2, 1], [True, False, False], [0.5, 2.0, 1.5])
    text = Scored([1, 2, 1], [True, True, False], [1.0, 3.0, 2.0])
    everything, first, second = place_rows(latents, text)
    assert everything == {
        **{"place": "all", "chunks": 3, "latent_right": pytest.approx(1 / 3), "latent_nats": pytest.approx(4 / 3)},
        **{"text_right": pytest.approx(2 / 3), "text_nats": pytest.approx(2)},
    }
    assert [*first.values()] == ["1", 2, 0.5, 1.0, 0.5, 1.5]
    assert [*second.values()] == ["2", 1, 0.0, 2.0, 1.0, 3.0]


def test_rows_too_short_for_a_chunk_are_left_out(tmp_path) -> None:
    short = {**ROWS[0], "codes": [], "code_ends": []}
    run = tiny_run(ids=IDS)
    options = GenerationOptions(max_new_tokens=12, batch_size=1)
    (finding,) = analyze(Case(Engine(run, model(), TOKENIZER), [ROWS[1], short], options), ["places"])
    assert [row["place"] for row in finding.rows] == ["all", "1"] and "1 samples" in finding.title
    assert finding.write(tmp_path)[1].stat().st_size > 0
    with pytest.raises(InputError, match="no trace is as long as a chunk"):
        analyze(Case(Engine(run, model(), TOKENIZER), [short], options), ["places"])


def test_a_controls_own_codes_are_what_is_predicted() -> None:
    """One code for all chunks: the rows' codes have no part in it."""
    run = tiny_run("matched-pauses", ids=IDS)
    run.method_state, run.codebook_size, run.compression_rate, run.chunk_length = {"seed": 0}, 5, 2, 2
    other = [{**row, "codes": [4 - code for code in row["codes"]]} for row in ROWS]
    (first,), (second,) = (
        analyze(Case(Engine(run, model(), TOKENIZER), rows, OPTIONS), ["places"]) for rows in (ROWS, other)
    )
    assert first.rows == second.rows
