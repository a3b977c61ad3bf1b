import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModel
from vector_quantize_pytorch import VectorQuantize

from tests.interruption import Interrupted, interrupt_at
from tests.vqvae_rows import (
    IDS,
    clustered_rows,
    codes_of,
    counting_rows,
    random_rows,
    random_step_rows,
    tiny_config,
)
from vqvae import (
    ChunkVQVAE,
    ChunkVQVAEConfig,
    PredictiveVQVAE,
    Reader,
    Stage1Training,
    VQVAETrainingOptions,
    evaluate_vqvae,
    train_vqvae,
)
from vqvae.errors import InputError
from vqvae.model.coder import ChunkCoder
from vqvae.model.quantizer import ChunkQuantizer, Quantized
from vqvae.training.checkpoints import last_checkpoint


OPTIONS = VQVAETrainingOptions(steps=8, batch_size=4, learning_rate=1e-2)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
@pytest.mark.parametrize("chunk_length", [None, 4])
def test_traces_without_a_token_are_told(lengths: list[int], chunk_length: int | None, tmp_path: Path) -> None:
    rows = [{"prompt_ids": [3], "trace_ids": [], "step_lengths": lengths, "solution_ids": [5]}] * 3
    config = ChunkVQVAEConfig(vocab_size=100, codebook_size=2, chunk_length=chunk_length)
    with pytest.raises(InputError, match="all traces are empty"):
        Stage1Training(rows, config, tmp_path, OPTIONS)


@pytest.mark.parametrize("kind", [ChunkVQVAE, PredictiveVQVAE])
def test_a_model_whose_chunks_have_no_length_yet_is_refused(kind: type[ChunkCoder]) -> None:
    with pytest.raises(InputError, match="no chunk length"):
        kind(ChunkVQVAEConfig(objective=kind.objectives[0]))


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_a_resumed_training_equals_an_uninterrupted_one(stop: int, tmp_path: Path) -> None:
    """Warm-up has 4 steps: stopped before, at and after its end; an epoch has 5 steps."""
    options = VQVAETrainingOptions(steps=8, batch_size=4, learning_rate=1e-2, save_every=1)
    shape = {"warmup_steps": 4, "kmeans": True}
    whole = train_vqvae(random_rows(20), tiny_config(**shape), tmp_path / "whole", options)
    with pytest.raises(Interrupted):
        train_vqvae(random_rows(20), tiny_config(**shape), tmp_path / "parts", options, interrupt_at(stop + 1))
    parts = train_vqvae(random_rows(20), tiny_config(**shape), tmp_path / "parts", options)
    left, right = whole.state_dict(), parts.state_dict()
    live = [name for name in left if "codebook_mean" not in name and "codebook_variance" not in name]  # never set
    assert all(torch.equal(left[name], right[name]) for name in live)
    assert left["quantizer.steps"] == 8 and bool(left["quantizer.vq._codebook.initted"])


def test_a_resumed_training_of_codes_that_predict_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Chunks are steps; codes are dropped and, of a long trace, drawn: both as they would have been."""
    long = {"prompt_ids": [3], "trace_ids": IDS * 5, "step_lengths": [2] * 20, "solution_ids": [5]}
    rows = [*random_step_rows(18), long, long]
    shape = {"objective": "predictive", "align": "step", "compression_rate": None, "warmup_steps": 3, "kmeans": True}
    config = tiny_config(**shape, code_dropout=0.3)
    options = replace(OPTIONS, save_every=1)
    whole = train_vqvae(rows, config, tmp_path / "whole", options).state_dict()
    with pytest.raises(Interrupted):
        train_vqvae(rows, config, tmp_path / "parts", options, interrupt_at(6))
    parts = train_vqvae(rows, config, tmp_path / "parts", options).state_dict()
    live = [name for name in whole if "codebook_mean" not in name and "codebook_variance" not in name]
    assert all(torch.equal(whole[name], parts[name]) for name in live)


class SumReader(Reader):
    """Predicts by a sum what no code is for: it learns, has something that does not, and gives gradients to codes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.frozen = (
            nn.Parameter(torch.full((6,), 0.5)),
            nn.Parameter(torch.ones(6), requires_grad=False),
        )

    def forward(self, batch: Mapping, vectors: torch.Tensor, counts: torch.Tensor, chosen: torch.Tensor) -> tuple:
        told = (vectors * self.weight + self.frozen).square().mean()
        return told, told * 2


TAUGHT = {"objective": "language-model", "align": "step", "compression_rate": None, "kmeans": True, "warmup_steps": 3}


def test_a_resumed_training_by_a_reader_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Checkpoints have of the reader what learns; the finished model has nothing of it and is opened without."""
    rows, config, options = random_step_rows(20), tiny_config(**TAUGHT), replace(OPTIONS, save_every=2)
    readers = [SumReader() for _ in range(3)]
    whole = train_vqvae(rows, config, tmp_path / "whole", options, reader=readers[0])
    with pytest.raises(Interrupted):
        train_vqvae(rows, config, tmp_path / "parts", options, interrupt_at(6), readers[1])
    parts = train_vqvae(rows, config, tmp_path / "parts", options, reader=readers[2]).state_dict()
    live = [name for name in parts if "codebook_mean" not in name and "codebook_variance" not in name]
    assert all(torch.equal(whole.state_dict()[name], parts[name]) for name in live)
    assert torch.equal(readers[0].weight, readers[2].weight) and (readers[0].weight != 0.5).all()
    kept = torch.load(Path(last_checkpoint(tmp_path / "parts" / "checkpoints")) / "reader.pt")
    assert kept.keys() == {"weight"} and not any("reader.pt" in path.name for path in (tmp_path / "parts").glob("*"))
    opened = AutoModel.from_pretrained(tmp_path / "whole")
    assert type(opened) is PredictiveVQVAE and opened.state_dict().keys() == whole.state_dict().keys()


def test_codes_learn_by_the_reader_alone_and_the_own_one_beside_it() -> None:
    torch.manual_seed(0)
    shape = {**TAUGHT, "warmup_steps": 0, "kmeans": False, "commitment_weight": 0.0}
    model = PredictiveVQVAE(tiny_config(**shape), IDS)
    batch = model.collate(random_step_rows(4), model.config)

    class Silent(SumReader):
        def forward(self, *given: object) -> tuple:
            return super().forward(*given)[0] * 0, self.weight.sum() * 0

    for reader, moves in ((SumReader(), True), (Silent(), False)):
        model.zero_grad()
        model(reader, **batch).loss.backward()
        moved = {
            name.split(".")[0] for name, own in model.named_parameters() if own.grad is not None and own.grad.any()
        }
        assert {"reader", "head_bias", "read_back", "read_back_bias"} <= moved
        assert ({"tokens", "encoder", "to_code"} <= moved) is moves
        assert moves or not {"tokens", "encoder", "to_code"} & moved


@pytest.mark.parametrize(("objective", "reader"), [("language-model", None), ("predictive", SumReader())])
def test_a_reader_goes_with_the_objective_that_needs_it(objective: str, reader: Reader | None, tmp_path: Path) -> None:
    config = tiny_config(**{**TAUGHT, "objective": objective})
    with pytest.raises(InputError, match=f"objective '{objective}': a reader goes with 'language-model'"):
        train_vqvae(random_step_rows(20), config, tmp_path / "out", OPTIONS, reader=reader)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path: Path) -> None:
    """The power went while step 6 was saved: training goes on from step 4, to the same end."""
    options = VQVAETrainingOptions(steps=8, batch_size=4, learning_rate=1e-2, save_every=2)
    whole = train_vqvae(random_rows(20), tiny_config(), tmp_path / "whole", options)
    with pytest.raises(Interrupted):
        train_vqvae(random_rows(20), tiny_config(), tmp_path / "parts", options, interrupt_at(6))
    checkpoints = tmp_path / "parts" / "checkpoints"
    shutil.copytree(checkpoints / "checkpoint-4", checkpoints / "checkpoint-6")
    (checkpoints / "checkpoint-6" / "trainer_state.json").unlink()
    (checkpoints / "checkpoint-6" / "model.safetensors").write_bytes(b"")
    assert last_checkpoint(checkpoints) == str(checkpoints / "checkpoint-4")
    parts = train_vqvae(random_rows(20), tiny_config(), tmp_path / "parts", options)
    assert all(torch.equal(value, parts.state_dict()[name]) for name, value in whole.state_dict().items())
    assert last_checkpoint(tmp_path / "nothing") is None


def test_progress_tells_the_parts_of_the_loss_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    calls = []
    options = VQVAETrainingOptions(steps=51, batch_size=4)
    train_vqvae(random_rows(20), tiny_config(), tmp_path, options, lambda *call: calls.append(call))
    assert [(step, total) for step, total, _ in calls] == [(step, 51) for step in range(1, 52)]
    figures = calls[-1][2]
    assert {"loss", "reconstruction", "commitment", "codes_used"} <= figures.keys()
    assert 0 < figures["codes_used"] <= 8 and figures["reconstruction"] > 0
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_the_codebook_starts_at_the_k_means_of_traces(tmp_path: Path) -> None:
    """As many codes as kinds of chunk: after k-means every kind has its own code."""
    rows = clustered_rows(200)
    config = tiny_config(codebook_size=6, compression_rate=4, warmup_steps=30, kmeans=True, dead_code_share=0.0)
    model = train_vqvae(rows, config, tmp_path, VQVAETrainingOptions(steps=31, batch_size=16, learning_rate=1e-2))
    kinds = {tuple(row["trace_ids"][:4]) for row in rows}
    codes = codes_of(model, [list(kind) for kind in kinds])
    assert len({tuple(code) for code in codes}) >= 5


def test_overfits_a_few_rows(tmp_path: Path) -> None:
    rows = clustered_rows(40)
    config = tiny_config(codebook_size=8, compression_rate=4, warmup_steps=80, kmeans=True)
    model = train_vqvae(rows, config, tmp_path, VQVAETrainingOptions(steps=250, batch_size=8, learning_rate=1e-2))
    report = evaluate_vqvae(model, rows)
    assert report["token_accuracy"] > 0.97 and report["exact_chunks"] > 0.9
    assert report["code_gap"] > 0.5
    assert report["token_accuracy"] > report["no_code_accuracy"] > 0


def library_defaults(quantizer: ChunkQuantizer, vectors: torch.Tensor) -> Quantized:
    """The forward pass of a quantiser that is the library's alone."""
    if len(vectors) == 0:
        return Quantized(vectors, torch.zeros(0, dtype=torch.long), vectors.new_zeros(()), vectors.new_zeros(()))
    quantized, codes, commitment = quantizer.vq(vectors.float()[None])
    return Quantized(quantized[0], codes[0], vectors.new_zeros(()), commitment.squeeze())


def test_the_librarys_defaults_collapse_where_the_recipe_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 chunks, 64 codes, the same model and training: more than half of the library's codes are dead."""
    rows = counting_rows(300)
    options = VQVAETrainingOptions(steps=200, batch_size=16, learning_rate=2e-3)
    shape = {"codebook_size": 64, "compression_rate": 4, "code_dim": 32, "hidden_size": 32, "num_layers": 2}
    recipe = train_vqvae(rows, tiny_config(**shape, warmup_steps=66, kmeans=True), tmp_path / "recipe", options)

    def make(quantizer: ChunkQuantizer, config: ChunkVQVAEConfig) -> None:
        original(quantizer, config)
        quantizer.vq = VectorQuantize(config.code_dim, config.codebook_size)

    original = ChunkQuantizer.__init__
    monkeypatch.setattr(ChunkQuantizer, "__init__", make)
    monkeypatch.setattr(ChunkQuantizer, "forward", library_defaults)
    config = tiny_config(**shape, commitment_weight=1.0)  # the library's default weight
    defaults = train_vqvae(rows, config, tmp_path / "defaults", options)
    ours, theirs = evaluate_vqvae(recipe, rows), evaluate_vqvae(defaults, rows)
    assert theirs["used"] < 0.5 and ours["used"] > 0.9
    assert ours["perplexity"] > 2 * theirs["perplexity"]
    assert ours["code_gap"] > theirs["code_gap"] + 0.2
    assert ours["token_accuracy"] > theirs["token_accuracy"] + 0.05


def test_plain_gradient_losses_train_the_codebook(tmp_path: Path) -> None:
    config = tiny_config(quantizer="gradient")
    torch.manual_seed(OPTIONS.seed)
    model = train_vqvae(random_rows(20), config, tmp_path, OPTIONS)
    assert isinstance(model.quantizer.vq.codebook, nn.Parameter | torch.Tensor)
    fresh = ChunkVQVAE(config, model.vocabulary.token_ids.tolist())
    moved = (model.quantizer.vq.codebook - fresh.quantizer.vq.codebook).abs().max()
    assert moved > 0


def test_dead_codes_are_judged_by_the_average_code_of_a_step(tmp_path: Path) -> None:
    """20 traces of 8 tokens, batch 4: 4 x 2 chunks x 2 codes = 16 vectors a step on 8 codes; a tenth of 2 is 0.2."""
    rows = [{"prompt_ids": [3], "trace_ids": [3, 5, 8, 13, 3, 5, 8, 13], "solution_ids": [3]}] * 20
    config = tiny_config(dead_code_share=0.1)
    model = train_vqvae(rows, config, tmp_path, OPTIONS)
    assert model.config.dead_code_threshold == pytest.approx(0.2)


@pytest.mark.parametrize(("rows", "vectors"), [(3, 3), (4, 4), (6, 3)])
def test_a_step_has_no_more_vectors_than_there_are_rows_for(rows: int, vectors: int, tmp_path: Path) -> None:
    """Steps of 4 rows, of one chunk and one code each: with 3 rows a step has 3, with 6 one has 4 and one 2."""
    data = [{"prompt_ids": [3], "trace_ids": [5, 8, 13, 21], "solution_ids": [3]}] * rows
    config = tiny_config(codebook_size=2, compression_rate=4, dead_code_share=1.0)
    training = Stage1Training(data, config, tmp_path, VQVAETrainingOptions(steps=1, batch_size=4))
    training._decide(tokens=4)
    assert training.config.dead_code_threshold == vectors / 2


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (clustered_rows(2), {"codebook_size": 50}, "codebook size 50 is larger than the 6 chunks of 4 tokens"),
        (clustered_rows(2), {"chunk_length": 40}, "no trace has a whole chunk of 40 tokens"),
        ([], {}, "no trace has a whole chunk"),
        (clustered_rows(9), {"warmup_steps": 8}, "warm-up of 8 steps leaves none of the 8 training steps"),
    ],
)
def test_a_corpus_that_cannot_fill_the_codebook_is_said(
    rows: list, changes: dict, message: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=message):
        train_vqvae(rows, tiny_config(**changes), out, OPTIONS)
    assert not out.exists()


def test_checkpoints_load_without_pickle(tmp_path: Path) -> None:
    options = VQVAETrainingOptions(steps=4, batch_size=4, save_every=2)
    train_vqvae(random_rows(20), tiny_config(), tmp_path, options)
    files = list(tmp_path.glob("checkpoints/*/optimizer.pt"))
    assert files and all(torch.load(file, weights_only=True)["state"] for file in files)
    assert (tmp_path / "model.safetensors").is_file()


def test_workers_change_nothing(tmp_path: Path) -> None:
    plain = train_vqvae(random_rows(20), tiny_config(), tmp_path / "plain", OPTIONS).state_dict()
    other = train_vqvae(random_rows(20), tiny_config(), tmp_path / "other", replace(OPTIONS, workers=2)).state_dict()
    assert all(torch.equal(other[name], value) for name, value in plain.items())


def test_bf16_is_autocast_around_fp32_weights(tmp_path: Path) -> None:
    plain = train_vqvae(random_rows(20), tiny_config(), tmp_path / "plain", OPTIONS).state_dict()
    other = train_vqvae(random_rows(20), tiny_config(), tmp_path / "other", replace(OPTIONS, bf16=True)).state_dict()
    assert all(other[name].dtype == value.dtype for name, value in plain.items())
    drift = (other["mix.weight"] - plain["mix.weight"]).abs().max()
    assert 0 < drift < 0.05


@pytest.mark.parametrize(("vectors_per_code", "least", "most"), [(1, 8, 79), (10, 80, 200)])
def test_a_codebook_starts_from_so_many_vectors_a_code(tmp_path, monkeypatch, vectors_per_code, least, most):
    seen, start = [], ChunkQuantizer.start_codebook

    def started(quantizer: ChunkQuantizer, vectors: torch.Tensor, seed: int) -> None:
        seen.append(len(vectors))
        start(quantizer, vectors, seed)

    monkeypatch.setattr(ChunkQuantizer, "start_codebook", started)
    options = VQVAETrainingOptions(steps=3, batch_size=2, vectors_per_code=vectors_per_code)
    train_vqvae(random_rows(200), tiny_config(codebook_size=8, kmeans=True, warmup_steps=1), tmp_path, options)
    assert len(seen) == 1 and least <= seen[0] <= most
