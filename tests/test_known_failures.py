"""What earlier implementations of Token Assorted got wrong, one test each."""

import numpy as np
import pytest
import torch

from mixlm.data.template import Template
from mixlm.generation.answers import count_tokens, read_answer
from mixlm.methods import Progress, build_method
from mixlm.methods.mixing import PAPER_LENGTHS, draw_two_level
from mixlm.model.special_tokens import SpecialIds, latent_span, special_ids
from mixlm.model.vocabulary import extend_vocabulary, matrices
from tests.coded_rows import coded, fixed
from tests.tiny_runs import tiny_run, tiny_tokenizer
from tests.vqvae_rows import codes_of, random_rows, random_vqvae
from vqvae import evaluate_vqvae


SPECIAL = SpecialIds(eos=0, bo_latent=100, eo_latent=101, first_latent=102, codebook_size=8)
TEXT = {"row": 0, "prompt_ids": [1, 2], "trace_ids": list(range(11, 20)), "solution_ids": [9, 0]}
ROW = coded(TEXT, [7, 3, 5, 1])


def mixed(replaced: int) -> list[int]:
    method = build_method("assorted", {}).bind(SPECIAL, fixed(2))
    return method.sequence_with(ROW, replaced).ids


def test_1_a_collapsed_codebook_is_reported() -> None:
    model = random_vqvae()
    model.quantizer.vq._codebook.embed.fill_(0.0)
    report = evaluate_vqvae(model, random_rows(10))
    assert (report["codes_used"], report["used"]) == (1, 1 / 8) and report["perplexity"] == pytest.approx(1)
    assert report["ce_right"] == pytest.approx(report["ce_random"], rel=1e-4)  # and its codes carry nothing


def test_2_one_latent_stands_for_a_chunk_not_for_a_token() -> None:
    model = random_vqvae(chunk_length=4, compression_rate=4)
    assert [len(codes) for codes in codes_of(model, [[3] * 16, [5] * 19, [8] * 3])] == [4, 4, 0]


def test_3_chunks_never_shift() -> None:
    """Whatever is replaced, the rest is the end of the very ids that were encoded; nothing is tokenised again."""
    for replaced in range(5):
        text = mixed(replaced)[2 + (replaced + 2 if replaced else 0) :]
        assert text == [*ROW["trace_ids"][2 * replaced :], 9, 0]


def test_4_a_prefix_is_replaced_not_random_chunks() -> None:
    method = build_method("assorted", {"mix": "uniform"}).bind(SPECIAL, fixed(2))
    prefixes = [mixed(replaced) for replaced in range(5)]
    for seed in range(50):
        assert method.sequence(ROW, Progress(0, 1), np.random.default_rng(seed)).ids in prefixes


def test_5_delimiters_stand_around_latents_and_nowhere_else() -> None:
    assert not {100, 101} & set(mixed(0))
    for replaced in range(1, 5):
        ids = mixed(replaced)
        assert ids[2] == 100 and ids[3 + replaced] == 101 and ids.count(100) == ids.count(101) == 1


def test_6_the_decoder_is_conditioned_on_the_prompt() -> None:
    model, codes = random_vqvae(), torch.tensor([[1, 2]])
    one, other = (model.decode_logits(codes, torch.tensor([prompt])) for prompt in ([3, 5], [8, 13]))
    assert not torch.allclose(one, other)


def test_7_and_8_new_rows_differ_and_collide_with_no_text(tiny_llama) -> None:
    for tied in (True, False):
        tokenizer = tiny_tokenizer()
        base = len(tokenizer)
        model = tiny_llama(base, tied=tied)
        new = extend_vocabulary(model, tokenizer, ["<boThought>", "<thought>", "<eoThought>"])
        assert new == [base, base + 1, base + 2]
        for matrix in matrices(model):
            assert len(matrix) == len(tokenizer) and torch.pdist(matrix[new].detach()).min() > 0
        assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    special = special_ids(tiny_tokenizer())
    assert tiny_tokenizer().convert_ids_to_tokens(special.present()[: len(latent_span(5))]) == latent_span(5)


def test_9_the_mixed_sequence_is_learned_latents_too() -> None:
    sequence = build_method("assorted", {}).bind(SPECIAL, fixed(2)).sequence_with(ROW, 3)
    assert sequence.labels == [-100, -100, *sequence.ids[2:]]
    assert sequence.labels[2:7] == [100, 109, 105, 107, 101]


def test_10_the_answer_is_read_without_latents() -> None:
    tokenizer, run = tiny_tokenizer(), tiny_run()
    ids = [run.ids.bo_latent, *run.ids.latent_ids[:2], run.ids.eo_latent]
    ids += [*tokenizer("a ### 4")["input_ids"], run.ids.latent_ids[3], run.ids.eos]
    answer = read_answer(ids, tokenizer, run.ids)
    assert "<" not in answer.text and Template().find_answer(answer.text) == "4"
    assert answer.codes == [0, 1, 3] and answer.finished


def test_11_latents_and_delimiters_are_counted() -> None:
    counts = count_tokens([100, 109, 105, 101, 15, 9, 0], SPECIAL)
    assert (counts.latent, counts.delimiter, counts.text, counts.total, counts.paper_tokens) == (2, 2, 3, 7, 7)


def test_12_a_length_of_72_reaches_64_tokens() -> None:
    rng, ends = np.random.default_rng(0), range(16, 1600, 16)
    assert max(draw_two_level(rng, ends, 16, (72,)) for _ in range(300)) * 16 == 64
    assert max(draw_two_level(rng, ends, 16, PAPER_LENGTHS) for _ in range(2000)) * 16 == 256
