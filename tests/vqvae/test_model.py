from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel

from tests.vqvae_rows import IDS, codes_of, random_rows, random_vqvae, tiny_config
from vqvae import ChunkVQVAE, evaluate_vqvae
from vqvae.model.chunks import collate, cut_windows, last_tokens


def test_full_ids_go_in_and_out() -> None:
    model = random_vqvae()
    ids = torch.tensor([[3, 5, 4, 89], [0, 99, 21, 8]])
    rows = model.vocabulary.compact(ids)
    assert rows.tolist() == [[0, 1, 8, 7], [8, 8, 4, 2]]
    assert model.vocabulary.full(rows).tolist() == [[3, 5, -1, 89], [-1, -1, 21, 8]]


def test_chunks_are_cut_in_order_without_padding() -> None:
    """Windows of two and of one chunk of 4: what each chunk is to be rebuilt as, and its vectors."""
    model = random_vqvae(context="trace")
    ids = torch.tensor([[3, 5, 8, 13, 21, 34, 55, 89], [89, 55, 34, 21, 0, 0, 0, 0]])
    found = model.chunks(ids, torch.tensor([[0, 0, 4], [0, 4, 4], [1, 0, 4]]))
    assert found.targets.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [7, 6, 5, 4]]
    both, first = torch.tensor([[0, 0, 4], [0, 4, 4]]), torch.tensor([[0, 0, 4]])
    alone = [model.chunks(ids[:1], both), model.chunks(ids[1:, :4], first)]
    torch.testing.assert_close(found.vectors, torch.cat([one.vectors for one in alone]))


def test_the_three_losses_by_hand() -> None:
    """Reconstruction in nats a token; codebook and commitment loss as mean squared distance; beta weights the last."""
    model = random_vqvae(quantizer="gradient", commitment_weight=0.3, code_dropout=0.0).train()
    batch = collate(random_rows(3), model.config)
    out = model(**batch)
    encoded = model.chunks(batch["input_ids"], batch["places"]).vectors
    distance = torch.cdist(encoded.flatten(0, 1), model.quantizer.vq.codebook)
    codes = distance.argmin(-1)
    assert torch.equal(out.codes.flatten(), codes)
    nearest = model.quantizer.vq.codebook[codes]
    squared = (encoded.flatten(0, 1) - nearest).square().mean()
    torch.testing.assert_close(out.codebook_loss, squared)
    torch.testing.assert_close(out.commitment_loss, squared)
    targets = model.vocabulary.compact(batch["input_ids"])
    chosen = out.logits.log_softmax(-1).gather(-1, targets[..., None])
    torch.testing.assert_close(out.reconstruction_loss, -chosen.mean())
    torch.testing.assert_close(out.loss, out.reconstruction_loss + 1.3 * squared)


def test_a_decoder_without_prompts_reads_a_code_the_same_whatever_the_prompt() -> None:
    batch = {"codes": torch.tensor([[0, 1], [1, 2]]), "prompt_ids": torch.tensor([[3, 5], [3, 5]])}
    other = {**batch, "prompt_ids": torch.tensor([[8, 89], [21, 3]])}
    alone, given = random_vqvae(condition_on_prompt=False).eval(), random_vqvae().eval()
    assert torch.equal(alone.decode_logits(**batch), alone.decode_logits(**other))
    assert not torch.equal(given.decode_logits(**batch), given.decode_logits(**other))
    assert not any("prompt_encoder" in name for name, _ in alone.named_parameters())


def test_gradients_pass_straight_through() -> None:
    """Without the other losses the encoder gets the gradient that the decoder gives the codebook vector."""
    quantizer = random_vqvae().quantizer.train()
    vectors = torch.randn(5, 6, requires_grad=True)
    direction = torch.randn(5, 6)
    (quantizer(vectors).vectors * direction).sum().backward()
    assert torch.equal(vectors.grad, direction)


def test_codebook_and_commitment_gradients_go_to_one_side_each() -> None:
    model = random_vqvae(quantizer="gradient")
    quantizer, vectors = model.quantizer.train(), torch.randn(5, 6, requires_grad=True)
    found = quantizer(vectors)
    found.codebook_loss.backward(retain_graph=True)
    assert vectors.grad is None and quantizer.vq._codebook.embed.grad.abs().max() > 0
    found.commitment_loss.backward()
    nearest = quantizer.look_up(found.codes).detach()
    torch.testing.assert_close(vectors.grad, 2 * (vectors.detach() - nearest) / vectors.numel())


def test_only_chunks_of_traces_pass_the_codebook_of_moving_averages() -> None:
    batch = collate(random_rows(4), tiny_config())
    for quantizer in ("ema", "gradient"):
        out = random_vqvae(quantizer=quantizer).train()(**batch)
        quantised = (out.codes >= 0).all(-1)
        assert torch.equal(quantised, batch["trace"] | (quantizer == "gradient"))


def test_code_dropout_decodes_a_share_of_chunks_without_their_code() -> None:
    """Training alone: with 0 no chunk goes without its codes, with 0.5 about half do, with 1 all."""
    for share, least, most in ((0.0, 0.0, 0.0), (0.5, 0.35, 0.65), (1.0, 1.0, 1.0)):
        model, seen = random_vqvae(code_dropout=share).train(), []
        model.mix.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(inputs[0][..., :6]))
        batch = collate(random_rows(40), model.config)
        model(**batch).loss.backward()
        model.eval()(**batch)
        training, evaluation = ((vectors == model.no_code).all(-1) for vectors in seen)
        assert torch.equal(training.all(-1), training.any(-1))  # a chunk goes without all its codes
        assert least <= training.float().mean() <= most
        assert not evaluation.any()
        assert (model.no_code.grad is not None) == (share > 0)


@pytest.mark.parametrize("context", ["chunk", "trace"])
@pytest.mark.parametrize("length", [2, 4, 6])
def test_a_code_depends_on_no_later_token(context: str, length: int) -> None:
    """L > r: a chunk may be cut after any multiple of r = 2 tokens."""
    model = random_vqvae(chunk_length=length, context=context)
    ids = torch.tensor([IDS + IDS[:4]])
    encoded = model.chunks(*_as_windows(model, ids)).vectors
    for token in range(12):
        changed = ids.clone()
        changed[0, token] = 3 if ids[0, token] != 3 else 5
        other = model.chunks(*_as_windows(model, changed)).vectors
        differs = (encoded != other).any(-1).flatten()
        assert not differs[: token // 2].any()
        assert differs[token // 2]


def test_context_decides_whether_earlier_chunks_are_seen() -> None:
    first, second = torch.tensor([[3, 5, 8, 13, 21, 34, 55, 89]]), torch.tensor([[5, 3, 8, 13, 21, 34, 55, 89]])
    for context, seen in (("chunk", False), ("trace", True)):
        model = random_vqvae(context=context)
        one, other = (model.chunks(*_as_windows(model, ids)).vectors.flatten(0, 1) for ids in (first, second))
        assert bool((one[2:] != other[2:]).any()) == seen


def _as_windows(model: ChunkVQVAE, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    length = np.array([ids.shape[1]])
    cut = cut_windows(length, length, model.config)
    return ids.reshape(len(cut.starts), -1), torch.from_numpy(cut.places)


@pytest.mark.parametrize("context", ["chunk", "trace"])
def test_codes_do_not_depend_on_batch_padding_or_company(context: str) -> None:
    model = random_vqvae(context=context)
    traces = [row["trace_ids"] for row in random_rows(30)]
    together = codes_of(model, traces)
    assert [codes_of(model, [trace])[0] for trace in traces] == together
    for size in (1, 3, 1000):
        assert codes_of(model, traces, batch_size=size) == together
    assert codes_of(model, traces[:11]) + codes_of(model, traces[11:]) == together
    assert [len(codes) for codes in together] == [len(trace) // 4 * 2 for trace in traces]
    assert len({code for codes in together for code in codes}) > 3


def test_encode_marks_what_a_trace_has_no_code_for() -> None:
    model = random_vqvae()
    ids = torch.tensor([[3, 5, 8, 13, 21, 34, 55, 89], [3, 5, 8, 13, 21, 0, 0, 0]])
    codes = model.encode(ids, torch.tensor([8, 5]))
    assert codes.shape == (2, 4)
    assert codes[0].tolist() == codes_of(model, [ids[0].tolist()])[0]
    assert codes[1].tolist() == [*codes[0, :2].tolist(), -1, -1]
    assert torch.equal(model.encode(ids[:1]), codes[:1])


def test_decode_is_the_argmax_of_the_decoder_chunk_by_chunk() -> None:
    model = random_vqvae()
    codes, prompts = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[3, 5, 8]])
    ids = model.decode(codes, prompts)
    assert ids.shape == (1, 8)
    assert torch.equal(model.decode(codes[:, 2:], prompts), ids[:, 4:])
    assert set(ids.flatten().tolist()) <= {*IDS, -1}
    padded = torch.tensor([[3, 5, 8, 0, 0]])
    with_padding = model.decode_logits(codes, padded, torch.tensor([3]))
    torch.testing.assert_close(with_padding, model.decode_logits(codes, prompts))


def test_the_prompt_conditions_the_decoder_and_is_encoded_once_a_sample() -> None:
    model = random_vqvae()
    codes = torch.tensor([[1, 2]])
    one, other = (model.decode_logits(codes, torch.tensor([prompt])) for prompt in ([3, 5], [5, 3]))
    assert not torch.allclose(one, other)
    seen = []
    model.prompt_encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[0]))
    rows = random_rows(5, longest=20)
    batch = collate(rows, model.config)
    model(**batch)
    assert seen == [5] and len(batch["input_ids"]) > 5


def test_g_reads_the_end_of_a_long_prompt() -> None:
    """At most 8 tokens: of rows of 10, 8 and 3 tokens, padded to 10."""
    ids = torch.tensor([[*range(10)], [*range(8), 0, 0], [7, 8, 9, *[0] * 7]])
    cut, lengths = last_tokens(ids, torch.tensor([10, 8, 3]), 8)
    assert cut.tolist() == [[*range(2, 10)], [*range(8)], [7, 8, 9, 0, 0, 0, 0, 0]]
    assert lengths.tolist() == [8, 8, 3]
    model, codes = random_vqvae(), torch.tensor([[1, 2]])
    prompt = torch.tensor([[3, 5, *IDS]])
    assert torch.equal(model.decode_logits(codes, prompt), model.decode_logits(codes, prompt[:, 2:]))


@pytest.mark.parametrize("context", ["chunk", "trace"])
def test_every_chunk_of_a_batch_is_decoded_for_its_own_samples_prompt(context: str) -> None:
    """A whole batch through forward gives the logits of each trace with its prompt, alone."""
    model, rows = random_vqvae(context=context), random_rows(6)
    together = model(**collate(rows, model.config, parts=("trace_ids",))).logits.flatten(0, 1)
    alone = []
    for row in rows:
        codes = torch.tensor(codes_of(model, [row["trace_ids"]]))
        alone.append(model.decode_logits(codes, torch.tensor([row["prompt_ids"]]))[0])
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("merged", [False, True])
def test_a_saved_model_loads_as_it_was(dtype: torch.dtype, merged: bool, tmp_path: Path) -> None:
    """What is counted stays whole numbers, and codebook vectors stay fp32, whatever the weights become."""
    model = random_vqvae(compression_rate=4)
    model.quantizer.steps += 7
    if merged:
        model.quantizer.merge(torch.tensor([0, 1, 0, 2, 3, 3, 2, 1]), torch.ones(8))
        model.config.trained_codes, model.config.codebook_size = 8, 4
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, dtype=dtype).eval()
    assert isinstance(loaded, ChunkVQVAE) and not list(tmp_path.glob("*.bin"))
    assert loaded.quantizer.vq.zero == 0 and loaded.quantizer.steps == 7
    own = {name: value for name, value in model.state_dict().items() if name.startswith(("quantizer", "vocabulary"))}
    for name, value in model.state_dict().items() if dtype == torch.float32 else own.items():
        found = loaded.state_dict()[name]
        assert found.dtype == value.dtype and torch.equal(found, value), name
    traces = [row["trace_ids"] for row in random_rows(10)]
    codes, wanted = codes_of(loaded, traces), codes_of(model, traces)
    assert codes == wanted if dtype == torch.float32 else [*map(len, codes)] == [*map(len, wanted)]
    if dtype == torch.bfloat16:
        assert loaded.encoder.blocks[0].qkv.weight.dtype == torch.bfloat16
        assert loaded(**collate(random_rows(2), model.config)).loss.isfinite()
        assert evaluate_vqvae(loaded, random_rows(5))["codes_used"] > 1


def test_warm_up_lets_vectors_pass_and_then_ends() -> None:
    model = random_vqvae(warmup_steps=2, code_dropout=0.0).train()
    batch = collate(random_rows(3), model.config)
    for step in range(3):
        out = model(**batch)
        assert bool((out.codes >= 0).any()) == (step == 2)
    passed = F.mse_loss(model.quantizer(torch.ones(2, 6)).vectors, torch.ones(2, 6))
    assert passed > 0
