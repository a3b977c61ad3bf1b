import pytest
import torch
from vector_quantize_pytorch import VectorQuantize

from tests.vqvae_rows import tiny_config
from vqvae.model.quantizer import ChunkQuantizer


def quantizer_of(codebook: list[list[float]], **changes: object) -> ChunkQuantizer:
    """A quantiser in training mode whose codes have stood for one vector each so far."""
    shape = {"codebook_size": len(codebook), "code_dim": len(codebook[0])}
    quantizer = ChunkQuantizer(tiny_config(**{**shape, **changes})).train()
    book = quantizer.vq._codebook
    for buffer in (book.embed.data, book.embed_avg):
        buffer.copy_(torch.tensor([codebook]))
    book.cluster_size.fill_(1.0)
    return quantizer


def test_codes_follow_the_moving_average_of_what_they_stand_for() -> None:
    """One step by hand, decay 0.5: count and sum of each code go half way to those of the batch."""
    quantizer = quantizer_of([[0.0, 0.0], [10.0, 0.0]], ema_decay=0.5)
    found = quantizer(torch.tensor([[1.0, 0.0], [3.0, 0.0], [9.0, 2.0]]))
    assert found.codes.tolist() == [0, 0, 1]
    assert found.vectors.tolist() == [[0.0, 0.0], [0.0, 0.0], [10.0, 0.0]]  # as they were before the step
    # code 0: count (1 + 2) / 2, sum (0 + 4) / 2;  code 1: count (1 + 1) / 2, sum (10 + 9) / 2 and (0 + 2) / 2
    torch.testing.assert_close(quantizer.vq.codebook, torch.tensor([[4 / 3, 0.0], [9.5, 1.0]]), rtol=1e-4, atol=1e-4)
    assert found.codebook_loss == 0
    assert found.commitment_loss == pytest.approx((1 + 9 + 1 + 4) / 6)


def test_evaluation_moves_nothing() -> None:
    quantizer = quantizer_of([[0.0, 0.0], [10.0, 0.0]]).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(torch.randn(5, 2))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


def test_a_dead_code_is_set_on_a_vector_of_the_batch() -> None:
    """Code 1 stands for nothing: after one step its count is 0.5, under the threshold of 0.6."""
    dead = {"ema_decay": 0.5, "dead_code_threshold": 0.6}
    quantizer = quantizer_of([[0.0, 0.0], [100.0, 100.0]], **dead)
    batch = torch.tensor([[1.0, 2.0], [3.0, 4.0], [-1.0, -2.0]])
    quantizer(batch)
    assert quantizer.vq.codebook[1].tolist() in batch.tolist()
    alive = quantizer_of([[0.0, 0.0], [100.0, 100.0]], **{**dead, "dead_code_threshold": 0.4})
    alive(batch)
    assert alive.vq.codebook[1].tolist() == pytest.approx([100.0, 100.0], rel=1e-3)


def test_half_precision_around_it_changes_no_code() -> None:
    """Distances that bfloat16 cannot tell apart: codes and codebook are those of fp32."""
    codebook = [[256.0 + step / 8, 1.0] for step in range(8)]
    vectors = torch.tensor(codebook)
    plain, cast = quantizer_of(codebook), quantizer_of(codebook)
    expected = plain(vectors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = cast(vectors)
    assert expected.codes.tolist() == found.codes.tolist() == list(range(8))
    assert torch.equal(plain.vq.codebook, cast.vq.codebook)


def test_k_means_has_random_numbers_of_its_own() -> None:
    """The same seed gives the same codebook whatever was drawn before, and nothing drawn later changes."""
    vectors = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    codebooks = []
    for before in (0, 5):
        torch.manual_seed(3)
        torch.rand(before)
        quantizer = ChunkQuantizer(tiny_config(code_dim=2, kmeans=True)).train()
        assert quantizer.needs_codebook
        state = torch.get_rng_state()
        quantizer.start_codebook(vectors, seed=7)
        assert torch.equal(torch.get_rng_state(), state) and not quantizer.needs_codebook
        codebooks.append(quantizer.vq.codebook.clone())
    assert torch.equal(*codebooks)
    quantizer = ChunkQuantizer(tiny_config(code_dim=2, kmeans=True)).train()
    quantizer.start_codebook(vectors, seed=8)
    assert not torch.equal(quantizer.vq.codebook, codebooks[0])


def test_a_batch_without_vectors_counts_as_a_step() -> None:
    quantizer = quantizer_of([[0.0, 0.0], [1.0, 1.0]])
    found = quantizer(torch.zeros(0, 2))
    assert found.codes.shape == (0,) and found.commitment_loss == 0
    assert quantizer.steps == 1


def test_once_it_has_started_no_buffer_is_read_back() -> None:
    """On a GPU the step would wait for it. A buffer on the meta device cannot be read."""
    quantizer = ChunkQuantizer(tiny_config(code_dim=2, kmeans=True, warmup_steps=1)).train()
    vectors = torch.randn(20, 2)
    quantizer(vectors)
    quantizer.start_codebook(vectors, seed=0)
    assert not quantizer.needs_codebook
    started = quantizer.state_dict()
    quantizer.steps, quantizer.vq._codebook.initted = (torch.ones((), device="meta") for _ in range(2))
    assert not quantizer.warming_up and not quantizer.needs_codebook
    quantizer.steps, quantizer.vq._codebook.initted = started["steps"], started["vq._codebook.initted"]
    fresh = ChunkQuantizer(tiny_config(code_dim=2, kmeans=True, warmup_steps=1)).train()
    quantizer.load_state_dict(fresh.state_dict())
    assert quantizer.warming_up and not quantizer.needs_codebook
    quantizer(vectors)
    assert not quantizer.warming_up and quantizer.needs_codebook


def test_the_library_keeps_its_codebook_where_we_look_for_it() -> None:
    """Private names of vector-quantize-pytorch: the k-means of a codebook and whether it has run."""
    library = VectorQuantize(2, 1, kmeans_init=True)._codebook
    vectors = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]).repeat(10, 1)
    assert not bool(library.initted)
    library.init_embed_(vectors[None])
    assert bool(library.initted)
    assert library.embed[0, 0].tolist() == pytest.approx([3.0, 3.0])  # of one code: the mean
    assert bool(VectorQuantize(2, 1)._codebook.initted)
