from pathlib import Path

import pytest
import torch
from transformers import (
    AttentionInterface,
    GPTBigCodeConfig,
    GPTBigCodeForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
)

from mixlm.data.tables import in_memory, row_table
from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.methods import Method, build_method
from mixlm.model.special_tokens import SpecialIds, add_project_tokens, latent_span
from mixlm.model.tokenizers import build_tokenizer
from mixlm.run import Run
from mixlm.training.options import TrainingOptions
from mixlm.training.preflight import check_model, check_start, samples_share_rows, tell_namesakes, warn_of_schedule
from mixlm.training.rows.inputs import leave_out_long
from mixlm.training.train import train
from tests.coded_rows import fixed
from tests.tiny_data import write_raw, write_scratch
from tests.tiny_runs import tiny_model


ALL_IDS = SpecialIds(eos=0, pause=1, bo_thought=2, thought=3, eo_thought=4)


def saved(folder: Path, method: str, **arguments: str) -> str:
    """Write as much of a finished run as is read before the model is opened."""
    folder.mkdir()
    Run(folder, method, Template(), ALL_IDS, arguments=arguments).save()
    return str(folder)


def start_from(model: str, method: str, options: dict | None = None, template: Template | None = None, **training):
    """Check a start; return what the user is told."""
    said: list[str] = []
    method = build_method(method, options or {})
    check_start(model, method, template or Template(), TrainingOptions(method.name, **training), said.append)
    return said


@pytest.mark.parametrize("method", ["cot", "sol-only", "pause", "coconut-no-thought", "pause-as-thought", "icot"])
@pytest.mark.parametrize("before", ["coconut", "coconut-no-curriculum"])
def test_a_run_with_thoughts_is_no_plain_language_model(before: str, method: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "first", before, model="gpt2")
    message = f"{model}: reasons in continuous thoughts .method '{before}'.* start '{method}' from .* .gpt2.$"
    with pytest.raises(InputError, match=message):
        start_from(model, method)


@pytest.mark.parametrize(
    ("before", "method"), [("cot", "coconut"), ("coconut", "coconut"), ("pause-as-thought", "cot"), ("cot", "icot")]
)
def test_other_runs_can_be_started_from(before: str, method: str, tmp_path: Path) -> None:
    assert start_from(saved(tmp_path / "first", before), method) == []


def test_another_template_is_noted(tmp_path: Path) -> None:
    model = saved(tmp_path / "first", "cot")
    said = start_from(model, "coconut", template=Template(solution="\nA: {answer}"))
    assert len(said) == 1 and said[0].startswith(f"note: {model} was trained with another template")


@pytest.mark.parametrize("method", ["coconut", "coconut-no-curriculum"])
def test_thoughts_need_the_cache_that_recomputation_drops(method: str) -> None:
    with pytest.raises(InputError, match=f"--activation-checkpointing: method '{method}' needs the key-value cache"):
        start_from("gpt2", method, activation_checkpointing=True)
    assert start_from("gpt2", "pause-as-thought", activation_checkpointing=True) == []


def test_a_type_without_activation_checkpointing_is_named() -> None:
    lm = OpenAIGPTLMHeadModel(OpenAIGPTConfig(vocab_size=64, n_embd=8, n_layer=1, n_head=2))
    method, asked = build_method("cot", {}), TrainingOptions("cot", activation_checkpointing=True)
    check_model(lm, "m", method, TrainingOptions("cot"), [])
    with pytest.raises(InputError, match=r"m: a model of type 'openai-gpt' does not support --activation-checkpoin"):
        check_model(lm, "m", method, asked, [])


def test_a_model_that_looks_new_tokens_up_elsewhere_is_refused() -> None:
    """As models do whose last ids are of pictures: their rows of the input matrix would never be learned."""
    lm, method, asked = tiny_model("llama", rows=20), build_method("cot", {}), TrainingOptions("cot")
    before = lm.get_input_embeddings().weight.clone()
    check_model(lm, "m", method, asked, [16, 19])
    assert torch.equal(lm.get_input_embeddings().weight, before)
    embedding = lm.get_input_embeddings()
    embedding.register_forward_pre_hook(lambda _, inputs: (inputs[0].where(inputs[0] < 18, 0),))
    check_model(lm, "m", method, asked, [16, 17])
    with pytest.raises(InputError, match="m: a model of type 'llama' does not look its last tokens up"):
        check_model(lm, "m", method, asked, [16, 19])


def test_new_rows_are_tried_with_attention_that_runs_where_the_model_is() -> None:
    def of_a_gpu(*_: object, **more: object) -> None:
        raise RuntimeError("only on a GPU")

    AttentionInterface.register("of_a_gpu", of_a_gpu)
    lm = tiny_model("llama", rows=20)
    lm.set_attn_implementation("of_a_gpu")
    check_model(lm, "m", build_method("cot", {}), TrainingOptions("cot"), [16, 19])
    assert lm.config._attn_implementation == "of_a_gpu"


def test_a_model_that_writes_no_answers_is_not_chosen_by_them(monkeypatch) -> None:
    lm, method = tiny_model("llama"), build_method("cot", {})
    monkeypatch.setattr(lm, "generate", lambda **_: [][0])
    check_model(lm, "m", method, TrainingOptions("cot"), [])
    with pytest.raises(InputError, match="--select accuracy: m: a model of .* choose another model, or --select loss"):
        check_model(lm, "m", method, TrainingOptions("cot", select="accuracy", eval_every=1), [])


def test_rows_are_no_wider_than_a_mask_that_a_model_holds() -> None:
    config = GPTNeoConfig(
        **{"vocab_size": 64, "hidden_size": 8, "num_layers": 1, "num_heads": 2, "max_position_embeddings": 64},
        attention_types=[[["global"], 1]],
    )
    lm, method, said = GPTNeoForCausalLM(config).eval(), build_method("cot", {}), []
    for tokens in (0, 64):
        assert samples_share_rows(lm, "m", method, TrainingOptions("cot", max_row_tokens=tokens), said.append)
    asked = TrainingOptions("cot", max_row_tokens=65)
    with pytest.raises(InputError, match="--max-row-tokens 65: a model of type 'gpt_neo' takes rows of 64 tokens"):
        samples_share_rows(lm, "m", method, asked, said.append)
    config = GPTBigCodeConfig(vocab_size=64, n_embd=8, n_layer=1, n_head=2, n_positions=64)
    assert samples_share_rows(GPTBigCodeForCausalLM(config).eval(), "m", method, asked, said.append)  # reads none


def test_thoughts_need_whole_matrices(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="method 'coconut' makes .* when it is sharded; launch it with ddp.yaml"):
        start_from("gpt2", "coconut")
    assert start_from("gpt2", "assorted") == []


def test_an_adapter_cannot_hold_the_classifier() -> None:
    with pytest.raises(InputError, match="stop=learned: an adapter cannot hold the classifier"):
        start_from("gpt2", "coconut", {"stop": "learned"}, lora_rank=4)
    assert start_from("gpt2", "coconut", {}, lora_rank=4) == []


@pytest.mark.parametrize(
    ("method", "options", "training", "end"),
    [
        ("coconut", {"first_epochs": 0.0}, {"epochs": 9}, 90),
        ("coconut", {"first_epochs": 0.0}, {"steps": 90}, 90),
        ("coconut", {"first_epochs": 0.0}, {"epochs": 9.1}, None),
        ("coconut", {"first_epochs": 0.0}, {"steps": 91}, None),
        ("icot", {"per_epoch": 1.0}, {"epochs": 3}, 50),
        ("icot", {"per_epoch": 1.0, "remove_all_beyond": 2}, {"epochs": 3}, None),
        ("assorted-curriculum", {}, {"steps": 8}, 8),
        ("assorted-curriculum", {}, {"epochs": 1}, None),
        ("cot", {}, {"steps": 1}, None),
        ("coconut-no-curriculum", {}, {"steps": 1}, None),
    ],
)
def test_a_last_stage_that_is_never_trained_is_said(
    method: str, options: dict, training: dict, end: int | None
) -> None:
    """Ten steps are an epoch. A last stage that begins at step n is first trained by a training of n + 1 steps."""
    said: list[str] = []
    bound = build_method(method, options).bind(ALL_IDS, fixed(2)).restore({"longest": 5})
    warn_of_schedule(bound, 10, TrainingOptions(method, **training), said.append)
    assert len(said) == (end is not None)
    if end is not None:
        total = training.get("steps") or 10 * training["epochs"]
        assert said[0].startswith(f"warning: the last stage of '{method}' begins at step {end}, epoch {end / 10:g}, ")
        assert f"training ends at step {total}; give more --epochs" in said[0]


def rows_of(*lengths: int):
    """Rows of one prompt token, the rest trace, one solution token."""
    listed = [
        {"row": row, "prompt_ids": [1], "trace_ids": [2] * (length - 2), "solution_ids": [0], "step_lengths": []}
        for row, length in enumerate(lengths)
    ]
    return in_memory(row_table(listed))


def pauses(count: int) -> Method:
    """A method that adds ``count`` tokens to every row."""
    return build_method("pause", {"count": count})


def test_rows_without_room_for_what_the_method_adds_are_left_out() -> None:
    rows = rows_of(5, 8, 9, 10)
    assert leave_out_long(rows, 10, pauses(2))["row"][:] == [0, 1]
    assert leave_out_long(rows, 10, pauses(0)) is rows


def test_no_room_for_the_method_is_told_from_long_samples() -> None:
    message = (
        "no sample has room for the 6 tokens that the method adds: the shortest has 5 of at most 10; .*fewer pauses"
    )
    with pytest.raises(InputError, match=message):
        leave_out_long(rows_of(5, 8), 10, pauses(6))
    with pytest.raises(InputError, match=r"every sample is longer than 4 tokens \(the shortest: 5\)"):
        leave_out_long(rows_of(5, 8), 4, pauses(6))


@pytest.mark.parametrize(
    ("method", "options", "added"),
    [("pause", {"count": 120}, 120), ("coconut", {"stages": 6, "thoughts_per_step": 20}, 122)],
)
def test_pauses_or_thoughts_that_leave_no_room_stop_the_command(
    method: str, options: dict, added: int, tmp_path: Path
) -> None:
    """The model's context is 128."""
    training = TrainingOptions(method, options, steps=1, batch_size=4)
    with pytest.raises(InputError, match=f"no sample has room for the {added} tokens"):
        train(str(write_raw(tmp_path)), str(write_scratch(tmp_path)), tmp_path / "run", training)
    assert not (tmp_path / "run").exists()


def test_tokens_of_the_models_own_that_are_named_like_ours_are_told_and_what_ours_are_named_then():
    tokenizer, lines = build_tokenizer(["1 + 2"], vocab_size=270), []
    tell_namesakes(tokenizer, add_project_tokens(tokenizer, ["<pause>"]), lines.append)
    assert lines == []
    tokenizer.add_tokens(["<latent_1>", "<thought>"], special_tokens=True)
    tell_namesakes(tokenizer, [], lines.append)
    tell_namesakes(tokenizer, add_project_tokens(tokenizer, latent_span(3)), lines.append)
    said = "note: tokens of the model's own keep their ids and meaning: <latent_1>, <thought>"
    ours = "<mixlm_boLatent>, <mixlm_eoLatent>, <mixlm_latent_0>, <mixlm_latent_1>, .."
    assert lines == [said, f"{said}; those of the method are {ours}"]
