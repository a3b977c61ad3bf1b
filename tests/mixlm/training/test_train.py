import json
import multiprocessing
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from mixlm.encoding.dataset import load_encoded, open_vqvae
from mixlm.encoding.manifest import read_manifest, write_manifest
from mixlm.errors import InputError
from mixlm.model.collator import Collator
from mixlm.model.loading import open_model
from mixlm.model.tokenizers import open_tokenizer
from mixlm.run import load_run
from mixlm.training import train as train_module
from mixlm.training.options import TrainingOptions
from mixlm.training.preflight import COMPILES
from mixlm.training.train import train
from mixlm.training.trainer import trainer_arguments
from tests.interruption import Interrupted, interrupt_at
from tests.tiny_data import CODEBOOK, RATE, write_encoded, write_raw, write_scratch
from tests.tiny_runs import tiny_vqvae
from vqvae import ChunkVQVAE, ChunkVQVAEConfig
from vqvae.options import PAPERS_CODES
from vqvae.stopping import Stopped
from vqvae.training.checkpoints import seal_checkpoint
from vqvae.training.curve import CURVE, read_curve


OPTIONS = TrainingOptions(
    method="assorted",
    method_options={"mix": "uniform"},
    learning_rate=1e-2,
    steps=6,
    batch_size=8,
    scheduler="constant_with_warmup",
)


def test_a_step_has_as_many_samples_with_two_gpus_in_one_process(tmp_path: Path, two_gpus: None) -> None:
    arguments = trainer_arguments(tmp_path, 10, replace(OPTIONS, batch_size=32))
    assert arguments.train_batch_size * arguments.gradient_accumulation_steps == 32


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    return write_encoded(tmp_path)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return write_scratch(tmp_path)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def assert_same_weights(ours: Path, theirs: Path, **tolerance: float) -> None:
    left, right = weights(ours), weights(theirs)
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], **(tolerance or {"atol": 0.0, "rtol": 0.0}))


def test_latents_start_at_their_text(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    """Trained at a rate of nothing, the run holds the start: of two codes those whose chunks are alike are alike."""
    still = replace(OPTIONS, learning_rate=1e-12, new_token_lr=1e-12, weight_decay=0.0, new_token_start="text")
    run = train(encoded, scratch, tmp_path / "run", replace(still, new_token_noise=0.0))
    rows = weights(tmp_path / "run")["model.embed_tokens.weight"]
    data = load_encoded(encoded)
    first = {}
    for row in data.train:
        for code, ids in run.method.chunks(row):
            first.setdefault(code, []).extend(ids)
    means = torch.stack([rows[ids].mean(0) for ids in first.values()])
    started = rows[[run.ids.latent(code) for code in first]]
    apart, means = started - started.mean(0), means - means.mean(0)
    assert len(first) > 2 and torch.allclose(apart / apart.norm(), means / means.norm(), atol=1e-5)


def test_latents_that_are_not_learned_are_told(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    write_manifest(encoded, {**read_manifest(encoded), "codebook": {"prior_top1": 2.1}})  # out of reach
    lines: list[str] = []
    train(encoded, scratch, tmp_path / "run", replace(OPTIONS, steps=2, eval_every=1), say=lines.append)
    assert [line for line in lines if line.startswith("warning: at step 1 of 2 the likeliest latent")]


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_latents_start_as_their_codes_lie(lora_rank: int, encoded: Path, scratch: Path, tmp_path: Path) -> None:
    """Trained at a rate of nothing, the run holds the start, with an adapter too."""
    if lora_rank:
        pytest.importorskip("peft")
    shape = {
        **PAPERS_CODES,
        "chunk_length": RATE,
        "codebook_size": CODEBOOK,
        "code_dim": 8,
        "hidden_size": 16,
        "num_heads": 2,
    }
    vqvae = ChunkVQVAE(ChunkVQVAEConfig(**shape, vocab_size=9, compact_size=9, kmeans=False))
    vqvae.save_pretrained(encoded / "vqvae")
    still = replace(OPTIONS, learning_rate=1e-12, new_token_lr=1e-12, weight_decay=0.0, steps=1, lora_rank=lora_rank)
    run = train(encoded, scratch, tmp_path / "run", replace(still, new_token_noise=0.0, new_token_start="codes"))
    vectors = vqvae.quantizer.look_up(torch.arange(CODEBOOK))
    rows = weights(tmp_path / "run")["model.embed_tokens.weight"][list(run.ids.latent_ids)]
    places, vectors = rows - rows.mean(0), vectors - vectors.mean(0)
    turned, lying = places @ places.T, vectors @ vectors.T
    assert torch.allclose(turned / turned.norm(), lying / lying.norm(), atol=1e-5)


@pytest.mark.parametrize(("stop", "start"), [(3, "mean"), (5, "mean"), (8, "mean"), (3, "text")])
def test_a_resumed_run_equals_an_uninterrupted_one(
    stop: int, start: str, encoded: Path, scratch: Path, tmp_path: Path
) -> None:
    """Five steps are an epoch: stopped within the first, at its end, and within the second."""
    options = replace(OPTIONS, steps=9, save_every=1, log_every=4, new_token_start=start)
    train(encoded, scratch, tmp_path / "whole", options)
    with pytest.raises(Interrupted):
        train(encoded, scratch, tmp_path / "parts", options, advance=interrupt_at(stop + 1))
    train(encoded, scratch, tmp_path / "parts", options)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    curves = [untimed(read_curve(tmp_path / name / CURVE)) for name in ("whole", "parts")]
    assert curves[0] == curves[1] and [line["step"] for line in curves[0]] == [4, 8]


def untimed(curve: list[dict]) -> list[dict]:
    """Return lines of figures without what the clock tells."""
    timed = ("seconds", "tokens_per_second")
    return [{name: value for name, value in line.items() if name not in timed} for line in curve]


def test_layout_and_accumulation_do_not_change_what_is_learned(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    variants = {
        "padded": {"pack": False},
        "packed": {"pack": True, "max_row_tokens": 64},
        "accumulated": {"pack": True, "micro_batch_size": 2},
        "workers": {"workers": 2},
        "recomputed": {"activation_checkpointing": True},
    }
    for name, changes in variants.items():
        train(encoded, scratch, tmp_path / name, replace(OPTIONS, **changes))
    for name in ("packed", "accumulated", "recomputed"):
        assert_same_weights(tmp_path / name, tmp_path / "padded", atol=2e-4, rtol=1e-3)
    train(encoded, scratch, tmp_path / "plain", OPTIONS)
    assert_same_weights(tmp_path / "workers", tmp_path / "plain")


def test_workers_that_are_asked_to_end_with_the_training_work_on(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    """A scheduler ends a group of processes: the training makes its step and keeps it, and its workers serve it."""
    ended = []

    def end(step: int, *rest: object) -> None:
        if step == 2:
            ended.extend(multiprocessing.active_children())
            for process in [*ended, multiprocessing.current_process()]:  # torch's workers let their parent end them
                subprocess.run(["kill", "-TERM", str(process.pid)], check=True)

    options = replace(OPTIONS, workers=2, save_every="1")
    with pytest.raises(Stopped, match="interrupted after step 2 of 6, which is kept"):
        train(encoded, scratch, tmp_path / "out", options, advance=end)
    assert len(ended) == 2
    train(encoded, scratch, tmp_path / "out", options)
    train(encoded, scratch, tmp_path / "plain", OPTIONS)
    assert_same_weights(tmp_path / "out", tmp_path / "plain")


def test_an_error_amid_training_leaves_no_workers_and_no_process(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    """Python would ask workers to end, which they leave to the training, and wait for them."""
    source = f"""
import sys
from dataclasses import replace
from mixlm.training.train import train
from tests.mixlm.training.test_train import OPTIONS

def fail(*rest):
    raise RuntimeError("of a kernel")

train({str(encoded)!r}, {str(scratch)!r}, {str(tmp_path / "out")!r}, replace(OPTIONS, workers=2), advance=fail)
"""
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1 and ended.stderr.rstrip().endswith("RuntimeError: of a kernel")


compiles = pytest.mark.skipif(torch.__version__ < COMPILES, reason=f"--compile needs torch {COMPILES}")


@pytest.mark.parametrize("changes", [{"attention": "eager"}, pytest.param({"compile": True}, marks=compiles)])
def test_attention_and_compilation_do_not_change_what_is_learned(
    changes: dict, encoded: Path, scratch: Path, tmp_path: Path
) -> None:
    train(encoded, scratch, tmp_path / "plain", OPTIONS)
    train(encoded, scratch, tmp_path / "changed", replace(OPTIONS, **changes))
    assert_same_weights(tmp_path / "changed", tmp_path / "plain", atol=2e-4, rtol=1e-3)


def test_a_torch_that_does_not_compile_is_told_with_one_that_does(
    encoded: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)("2.6.0+cpu"))
    told = "--compile: needs torch 2.7 or later, this is 2.6.0+cpu; leave it out"
    with pytest.raises(InputError, match=re.escape(told)):
        train(encoded, scratch, tmp_path / "run", replace(OPTIONS, compile=True))
    assert not (tmp_path / "run").exists()


WITHOUT_COMPILER = """
from torch._inductor import config
config.cpp.cxx = (None, "/no/such/compiler")
from pipelines.train import main
main()
"""


@compiles
def test_a_missing_compiler_is_told_in_one_line(encoded: Path, scratch: Path, tmp_path: Path, warm: str) -> None:
    arguments = [str(encoded), "--model", str(scratch), "--out", str(tmp_path / "run"), "--method", "cot"]
    command = [warm, "-c", WITHOUT_COMPILER, *arguments, "--steps", "1", "--batch-size", "8", "--compile"]
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **cache})
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert last.startswith("Error: --compile: ") and last.endswith("; install a C++ compiler, or leave it out")


def test_flash_attention_gets_a_single_row() -> None:
    """transformers tells the samples of a row apart by their positions, with flash attention only in a single row."""
    features = [{"input_ids": [1] * length, "labels": [1] * length} for length in (3, 5, 4)]
    options = replace(OPTIONS, attention="flash_attention_2", bf16=True)
    batch = Collator(pack=True, max_row_tokens=options.row_tokens)(features)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1, 2]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "flash_attention_2"}, "--attention flash_attention_2: computes in 16 bits only; add --bf16"),
        ({"attention": "nonsense"}, "--attention nonsense: transformers does not know it; choose another, or"),
        (
            {"method": "coconut", "method_options": {}, "compile": True},
            "--compile: method 'coconut' runs the model in",
        ),
    ],
)
def test_what_cannot_compute_so_is_refused(
    changes: dict, message: str, encoded: Path, scratch, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        train(encoded, scratch, tmp_path / "run", replace(OPTIONS, **changes))
    assert str(error.value).startswith(message)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="a GPU can train with it")
def test_flex_attention_without_a_gpu_is_refused(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--attention flex_attention: torch trains with it on a GPU only"):
        train(encoded, scratch, tmp_path / "run", replace(OPTIONS, attention="flex_attention"))


@pytest.mark.parametrize("tied", ["false", "true"])
def test_a_run_loads_where_this_project_cannot_be_imported(
    tied: str, encoded: Path, tmp_path: Path, warm: str
) -> None:
    scratch = write_scratch(tmp_path)
    scratch.write_text(scratch.read_text() + f"tie_word_embeddings: {tied}\n")
    train(encoded, scratch, tmp_path / "run", OPTIONS)
    program = """
import sys
sys.modules["mixlm"] = sys.modules["vqvae"] = sys.modules["pipelines"] = None
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
ids = tokenizer("1 + 2 ?\\n", return_tensors="pt")["input_ids"]
out = model.generate(ids, max_new_tokens=5, do_sample=False)
span = tokenizer("<boLatent><latent_3><eoLatent>")["input_ids"]
grew, text = out.shape[1] > ids.shape[1], tokenizer.decode(span, skip_special_tokens=True)
print(model.config.vocab_size, len(tokenizer), grew, len(span), text)
"""
    done = subprocess.run(
        [warm, "-c", program, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    rows, tokens, grew, span, text = done.stdout.rstrip("\n").split(" ", 4)
    assert (rows, grew, span, text) == (tokens, "True", "3", "")


def base_model(folder: Path, encoded: Path, dtype: torch.dtype = torch.float32, **config: object) -> Path:
    """Save a plain checkpoint with the encoded dataset's tokenizer."""
    scratch = write_scratch(folder)
    scratch.write_text(
        scratch.read_text() + "".join(f"{name}: {json.dumps(value)}\n" for name, value in config.items())
    )
    tokenizer = open_tokenizer(str(encoded / "tokenizer"))
    open_model(str(scratch), tokenizer).to(dtype).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    return folder / "base"


def test_a_bf16_checkpoint_trains_in_fp32_and_really_moves(encoded: Path, tmp_path: Path) -> None:
    base = base_model(tmp_path, encoded, torch.bfloat16)
    options = replace(OPTIONS, learning_rate=1e-5, new_token_lr=1e-5, steps=4)
    train(encoded, base, tmp_path / "run", options)
    old = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).state_dict()
    new = weights(tmp_path / "run")
    assert {value.dtype for value in new.values()} == {torch.float32}
    moved = [(new[name] != old[name]).float().mean() for name in old if "layers" in name and "norm" not in name]
    assert min(moved) > 0.8


def test_new_rows_move_at_their_own_rate(encoded: Path, tmp_path: Path) -> None:
    base = base_model(tmp_path, encoded)
    distances = {}
    for rate in (1e-5, 1e-2):
        seen: list[float] = []
        options = replace(OPTIONS, learning_rate=1e-5, new_token_lr=rate, log_every=1)
        advance = lambda *now: seen.append(now[2].get("new_row_distance", 0.0))  # noqa: B023, E731
        train(encoded, base, tmp_path / f"run{rate}", options, advance=advance)
        distances[rate] = seen[-1]
    assert distances[1e-2] > 100 * distances[1e-5] > 0


@pytest.mark.parametrize("tied", [True, False])
def test_lora_trains_new_rows_in_both_matrices_and_merges(tied: bool, encoded: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = base_model(tmp_path, encoded, tie_word_embeddings=tied)
    options = replace(OPTIONS, lora_rank=4, learning_rate=1e-3, new_token_lr=1e-2, save_every=2)
    train(encoded, base, tmp_path / "run", options)
    run = load_run(tmp_path / "run")
    old, new = weights(base), weights(tmp_path / "run")
    rows = run.ids.present()
    started = _fresh_rows(base, rows)
    for name, before in started.items():
        assert (new[name][rows] - before).norm(dim=-1).min() > 1e-3, name
        assert torch.equal(new[name][: rows[0]], old[name]), name
    assert not torch.equal(new["model.layers.0.mlp.up_proj.weight"], old["model.layers.0.mlp.up_proj.weight"])
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()


def _fresh_rows(base: Path, rows: list[int]) -> dict[str, torch.Tensor]:
    from mixlm.model.special_tokens import latent_span
    from mixlm.model.vocabulary import extend_vocabulary

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    extend_vocabulary(model, AutoTokenizer.from_pretrained(base), latent_span(4))
    state = model.state_dict()
    return {name: state[name][rows] for name in ("model.embed_tokens.weight", "lm_head.weight")}


def test_a_resumed_run_of_experts_equals_an_uninterrupted_one(encoded: Path, tmp_path: Path) -> None:
    """Published models of this type have a matrix for each expert; in transformers they are one."""
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "intermediate_size": 16}
    model = tmp_path / "moe.yaml"
    model.write_text(yaml.safe_dump({"model_type": "qwen3_moe", **shape, **experts, "tokenizer": {"vocab_size": 300}}))
    options = replace(OPTIONS, steps=4, save_every=2)
    train(encoded, model, tmp_path / "whole", options)
    with pytest.raises(Interrupted):
        train(encoded, model, tmp_path / "parts", options, advance=interrupt_at(3))
    train(encoded, model, tmp_path / "parts", options)
    assert any("experts" in name for name in weights(tmp_path / "whole"))
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_a_resumed_lora_run_equals_an_uninterrupted_one(encoded: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = base_model(tmp_path, encoded)
    options = replace(OPTIONS, new_token_start="text", lora_rank=2, save_every=2, steps=5)
    train(encoded, base, tmp_path / "whole", options)
    with pytest.raises(Interrupted):
        train(encoded, base, tmp_path / "parts", options, advance=interrupt_at(3))
    kept = {path.name for path in (tmp_path / "parts" / "checkpoints" / "checkpoint-2").iterdir()}
    assert "adapter_model.safetensors" in kept and "model.safetensors" not in kept
    held = load_file(tmp_path / "parts" / "checkpoints" / "checkpoint-2" / "adapter_model.safetensors")
    assert not [name for name in held if "base_layer" in name]  # all of the embedding, of which new rows alone learn
    train(encoded, base, tmp_path / "parts", options)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("rank", [0, 2])
def test_a_checkpoint_that_lacks_a_weight_is_refused(rank: int, encoded: Path, scratch: Path, tmp_path: Path) -> None:
    """transformers and PEFT would go on with that weight as it was at the start."""
    model = base_model(tmp_path, encoded) if rank else scratch
    options, out = replace(OPTIONS, lora_rank=rank, save_every=2), tmp_path / "parts"
    with pytest.raises(Interrupted):
        train(encoded, model, out, options, advance=interrupt_at(3))
    checkpoint = out / "checkpoints" / "checkpoint-2"
    lacking = without_one(checkpoint / ("adapter_model.safetensors" if rank else "model.safetensors"))
    seal_checkpoint(checkpoint)
    with pytest.raises(InputError, match=f"lacks {re.escape(lacking)}; .*train anew"):
        train(encoded, model, out, options)


def test_a_vqvae_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    tiny_vqvae([5, 6, 7, 8]).save_pretrained(tmp_path / "alone")
    lacking = without_one(tmp_path / "alone" / "model.safetensors")
    with pytest.raises(InputError, match=f"it has no weights for {re.escape(lacking)}"):
        open_vqvae(tmp_path / "alone")


def without_one(file: Path) -> str:
    """Take a weight out of a file; returns its name."""
    held = load_file(file)
    name = min(held)
    save_file({other: values for other, values in held.items() if other != name}, file, {"format": "pt"})
    return name


@pytest.mark.parametrize("rank", [0, 2])
def test_a_run_in_16_bits_is_that_in_32_rounded(rank: int, encoded: Path, tmp_path: Path) -> None:
    """An adapter is merged before."""
    if rank:
        pytest.importorskip("peft")
    base = base_model(tmp_path, encoded)
    for kind in ("float32", "bfloat16"):
        train(encoded, base, tmp_path / kind, replace(OPTIONS, steps=2, lora_rank=rank, save_dtype=kind))
    exact, rounded = (load_file(tmp_path / kind / "model.safetensors") for kind in ("float32", "bfloat16"))
    assert exact.keys() == rounded.keys()
    assert all(torch.equal(exact[name].to(torch.bfloat16), value) for name, value in rounded.items())


def test_the_loss_on_prompts_is_learned_and_measured(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    firsts = []
    for on in (False, True):
        options = replace(OPTIONS, steps=1, log_every=1, eval_every=1, loss_on_prompt=on)
        train(encoded, scratch, tmp_path / str(on), options)
        curve = read_curve(tmp_path / str(on) / CURVE)
        firsts.append([next(line[name] for line in curve if name in line) for name in ("loss", "eval_loss")])
    assert all(abs(without - with_it) > 1e-3 for without, with_it in zip(*firsts, strict=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [("weight_decay", 0.3), ("adam_beta2", 0.9), ("max_grad_norm", 0.25), ("warmup_steps", 3), ("seed", 5)],
)
def test_options_of_the_optimizer_reach_it(tmp_path: Path, name: str, value: float) -> None:
    assert getattr(trainer_arguments(tmp_path, 10, replace(OPTIONS, **{name: value})), name) == value


def test_overfits_one_batch_and_learns_to_end_where_padding_is_the_end(tmp_path: Path, scratch: Path) -> None:
    """The tokenizer's padding is its end of sequence; a model that never learned to end would run on."""
    raw = tmp_path / "one.jsonl"
    rows = [{"question": f"{a} + 1 ?", "steps": [f"{a} and 1"], "answer": str(a + 1)} for a in range(8)]
    raw.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = TrainingOptions(method="cot", learning_rate=5e-3, steps=150, batch_size=8, weight_decay=0.0)
    run = train(raw, scratch, tmp_path / "run", options)
    tokenizer, model = run.tokenizer(), run.load_model()
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    for row in rows:
        prompt = tokenizer(row["question"] + "\n", return_tensors="pt")["input_ids"]
        written = model.generate(prompt, max_new_tokens=40, do_sample=False)[0, prompt.shape[1] :].tolist()
        assert written[-1] == tokenizer.eos_token_id and tokenizer.eos_token_id not in written[:-1]
        assert tokenizer.decode(written[:-1]) == f"{row['steps'][0]}\n### {row['answer']}"


def test_figures_of_latents_and_text_are_logged_apart(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    train(encoded, scratch, tmp_path / "run", replace(OPTIONS, log_every=1), advance=lambda *now: seen.append(now[2]))
    assert {"loss", "text_loss", "latent_loss", "latent_accuracy", "new_row_distance"} <= seen[-1].keys()
    card = (tmp_path / "run" / "README.md").read_text()
    assert "latent_accuracy" in card and "`assorted`" in card and "4 codes, one for 2 trace tokens" in card


@pytest.fixture
def checkpoints_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the checkpoints of a finished run where they are, to be looked at."""
    monkeypatch.setattr("mixlm.training.folder.RunFolder.tidy", lambda folder: None)


@pytest.mark.usefixtures("checkpoints_stay")
def test_the_most_accurate_checkpoint_can_be_kept_by_the_check_of_the_data(
    encoded: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(OPTIONS, steps=4, eval_every=2, select="accuracy")
    write_manifest(encoded, {**read_manifest(encoded), "check": "number"})
    asked, measured = [], iter([0.5, 0.25])
    monkeypatch.setattr(train_module, "accuracy", lambda *given: asked.append(given[2]) or next(measured))
    train(encoded, scratch, tmp_path / "run", options)
    assert asked == ["number"] * 2 and load_run(tmp_path / "run").check == "number"
    checkpoints = tmp_path / "run" / "checkpoints"
    state = json.loads((checkpoints / "checkpoint-4" / "trainer_state.json").read_text())
    accuracies = [line["eval_accuracy"] for line in state["log_history"] if "eval_accuracy" in line]
    assert accuracies == [0.5, 0.25]
    assert_same_weights(tmp_path / "run", checkpoints / "checkpoint-2")


@pytest.mark.parametrize(("method", "kept"), [("assorted", True), ("random-codes", False), ("cot", False)])
def test_stage_1_goes_along_where_it_can_read_the_latents(
    method: str, kept: bool, encoded: Path, scratch: Path, tmp_path: Path
) -> None:
    options = replace(OPTIONS, method=method, method_options={}, steps=1, check="math")
    run = train(encoded, scratch, tmp_path / "run", options)
    assert (run.vqvae_path is not None) == kept and run.check == "math"


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixlm.training.options.find_spec", lambda name: None)
    with pytest.raises(InputError, match="--report-to trackio: not installed; pip install trackio"):
        replace(OPTIONS, report_to="trackio")


def test_tensorboard_gets_the_figures(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(encoded, scratch, tmp_path / "run", replace(OPTIONS, steps=2, log_every=1, report_to="tensorboard"))
    assert list((tmp_path / "run" / "logs").rglob("events.out.tfevents.*"))


def test_an_encoded_dataset_has_validation_rows_of_its_own(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    valid = str(write_raw(tmp_path))
    with pytest.raises(InputError, match=f"^--valid {valid}: {encoded} is encoded, and so are its validation rows"):
        train(encoded, scratch, tmp_path / "run", replace(OPTIONS, valid=valid))
    assert not (tmp_path / "run").exists()


def test_an_encoded_dataset_has_a_template_of_its_own(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    own, run = load_encoded(encoded).template, tmp_path / "run"
    asked = replace(OPTIONS, steps=1, template=replace(own, chat=True, solution=" = {answer}"))
    with pytest.raises(InputError, match=r"another chat \(false then, true now\), solution .*; leave the options"):
        train(encoded, scratch, run, asked)
    assert not run.exists()
    train(encoded, scratch, run, replace(asked, template=own))  # as --resume tells it
    with pytest.raises(InputError, match="already a finished run with another chat"):
        train(encoded, scratch, run, asked)


def test_evaluation_without_validation_rows_is_refused(scratch: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, method="cot", method_options={}, eval_every=2)
    with pytest.raises(InputError, match="--eval-every needs validation rows"):
        train(write_raw(tmp_path), scratch, tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def test_a_run_can_be_the_model_of_the_next(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    train(encoded, scratch, tmp_path / "first", OPTIONS)
    still = replace(OPTIONS, steps=1, learning_rate=1e-12, new_token_lr=1e-12, weight_decay=0.0)
    train(encoded, tmp_path / "first", tmp_path / "second", still)
    first, second = load_run(tmp_path / "first"), load_run(tmp_path / "second")
    assert first.ids == second.ids and first.fingerprint == second.fingerprint
    assert_same_weights(tmp_path / "first", tmp_path / "second", atol=1e-6, rtol=0)


@pytest.mark.parametrize("change", ["finished", "foreign", "arguments"])
def test_a_folder_that_holds_something_else_is_left_alone(
    change: str, encoded: Path, scratch: Path, tmp_path: Path
) -> None:
    out, options = tmp_path / "run", OPTIONS
    if change == "foreign":
        out.mkdir()
        (out / "thesis.tex").write_text("years of work")
    elif change == "finished":
        train(encoded, scratch, out, options)
    else:
        with pytest.raises(Interrupted):
            train(encoded, scratch, out, replace(options, save_every=1), advance=interrupt_at(2))
        options = replace(options, save_every=1, learning_rate=1.0)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    options = replace(options, seed=7) if change == "finished" else options
    message = {
        "finished": "already a finished run with another seed",
        "foreign": "no run of mixlm-train",
        "arguments": "learning_rate",
    }[change]
    with pytest.raises(InputError, match=message):
        train(encoded, scratch, out, options)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_what_does_not_fit_is_said_before_anything_is_written(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    raw = write_raw(tmp_path)
    other = tmp_path / "other"
    open_tokenizer(str(scratch), ["another corpus altogether"]).save_pretrained(other)
    text = replace(OPTIONS, method="cot", method_options={}, new_token_start="text")
    codes = replace(OPTIONS, method="random-codes", new_token_start="codes")
    cases = [
        ((raw, scratch, OPTIONS), "needs codes.*mixlm-encode"),
        ((encoded, other, OPTIONS), "another tokenizer"),
        ((encoded, scratch, replace(OPTIONS, batch_size=1000)), "fewer than one batch"),
        ((encoded, scratch, replace(OPTIONS, max_length=3)), "every sample is longer than 3 tokens"),
        ((raw, scratch, text), "--new-token-start text: method 'cot' has no latents"),
        (
            (encoded, scratch, codes),
            "--new-token-start codes: method 'random-codes' has no latents that are stage 1's",
        ),
        (
            (encoded, scratch, replace(text, method="drop-prefix", method_options={"mix": "uniform"})),
            "--new-token-start text: method 'drop-prefix' has no latents that stand for text",
        ),
        ((encoded, scratch, replace(OPTIONS, new_token_start="codes")), "no trained VQ-VAE"),
        ((tmp_path / "nothing.jsonl", scratch, replace(OPTIONS, method="cot", method_options={})), "no such file"),
        ((encoded, tmp_path / "nowhere", OPTIONS), "cannot be opened"),
    ]
    for (source, model, options), message in cases:
        with pytest.raises(InputError, match=message):
            train(source, model, tmp_path / "run", options)
        assert not (tmp_path / "run").exists()


def test_samples_longer_than_the_context_are_left_out_and_counted(
    encoded: Path, scratch: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    parts = ("prompt_ids", "trace_ids", "solution_ids")
    lengths = sorted(sum(len(row[part]) for part in parts) for row in load_encoded(encoded).train)
    limit = lengths[-1] - 1
    longer = sum(length > limit for length in lengths)
    options = replace(OPTIONS, method="cot", method_options={}, max_length=limit, batch_size=2)
    train(encoded, scratch, tmp_path / "run", options, say=said.append)
    assert longer and said[0] == f"warning: left out {longer} samples longer than {limit} tokens"


def test_optimizer_state_loads_without_pickle(encoded: Path, scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(encoded, scratch, tmp_path / "run", replace(OPTIONS, steps=4, save_every=1), interrupt_at(3))
    files = list((tmp_path / "run" / "checkpoints").glob("*/optimizer.pt"))
    assert files and all(torch.load(file, weights_only=True)["state"] for file in files)
    assert not list((tmp_path / "run").glob("*.bin")) and not list((tmp_path / "run").glob("*.pt"))
