"""A folder that somebody else made runs no code and leads nowhere else, whichever command opens it."""

import json
import os
import pickle
import shutil
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM

from mixlm.data.chat.rendering import render_chat
from mixlm.data.samples import Sample
from mixlm.encoding.dataset import load_encoded, open_vqvae
from mixlm.errors import InputError
from mixlm.generation.engine import Engine
from mixlm.model.loading import open_pretrained
from mixlm.model.tokenizers import open_tokenizer
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from pipelines.cli import main
from tests.calling import call_command
from tests.interruption import Interrupted, interrupt_at
from tests.tiny_runs import byte_tokenizer, saved_run, write_encoded_for
from vqvae.training.checkpoints import seal_checkpoint


call = partial(call_command, main)
AWAY = ["../away", "a/../../away", "/etc/passwd", "..", "", "a\\..\\..\\b", "C:\\x", "a\0b", 3, None, ["x"]]


class Planted:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def run(tmp_path):
    return saved_run(tmp_path / "run").path


def change(file, **values) -> None:
    """Change JSON as somebody would who knows of its digest."""
    content = json.loads(file.read_text())
    content.pop("digest", None)
    file.write_text(json.dumps({**content, **values}))


@pytest.mark.parametrize("name", AWAY)
def test_a_shard_lies_in_its_folder(tmp_path, name):
    write_encoded_for(tmp_path / "data", byte_tokenizer(), 4, 0)
    away = tmp_path / "away"
    shutil.copy(tmp_path / "data" / "train-00000.parquet", away)
    change(tmp_path / "data" / "manifest.json", shards={"train": [name], "valid": []})
    with pytest.raises(InputError, match=r"data: is said to hold a file .* leads elsewhere"):
        load_encoded(tmp_path / "data")
    assert "leads elsewhere" in call("check", tmp_path / "data", code=1).output


@pytest.mark.parametrize("name", ["../away", "/etc/passwd", "vqvae/../../away"])
def test_a_checksum_is_of_a_file_in_its_folder(tmp_path, run, name):
    (tmp_path / "away").write_text("secret")
    change(run / "mixlm.json", checksums={name: "0"})
    for arguments in (["check", run], ["check", run, "--accept"]):
        output = call(*arguments, code=1).output
        assert "leads elsewhere" in output or "cannot be read" in output


@pytest.mark.parametrize("name", AWAY)
def test_weights_lie_beside_their_list(tmp_path, run, name):
    (tmp_path / "away").write_bytes((run / "model.safetensors").read_bytes())
    (run / "model.safetensors").rename(run / "x.safetensors")
    (run / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"lm_head": name}}))
    with pytest.raises(InputError, match="leads elsewhere"):
        Engine.load(run).model.eval()


@pytest.mark.parametrize("index", ["[]", "{", '{"weight_map": 3}', "[" * 100_000, "\x00"])
def test_a_list_of_weights_that_is_none_is_told(run, index):
    (run / "model.safetensors").unlink()
    (run / "model.safetensors.index.json").write_text(index)
    assert "Error: " in call("generate", run, "1?", code=1).output


CODE = "import os; os.mkdir({mark!r})\nfrom transformers import *\nclass Config(LlamaConfig): model_type = 'planted'\n"
AUTO = {kind: f"planted.{kind}" for kind in ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer")}


@pytest.mark.parametrize("kind", ["planted", "llama"])
def test_code_beside_a_model_is_not_run(tmp_path, run, monkeypatch, kind):
    mark = tmp_path / "mark"
    (run / "planted.py").write_text(CODE.format(mark=str(mark)))
    change(run / "config.json", model_type=kind, auto_map=AUTO)
    change(run / "tokenizer_config.json", auto_map={"AutoTokenizer": ["planted.T", "planted.T"]}, tokenizer_class="T")
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps({"question": "1 + 1?", "steps": ["1 + 1 = 2"], "answer": "2"}) + "\n")
    monkeypatch.setattr("transformers.dynamic_module_utils.TIME_OUT_REMOTE_CODE", 1)
    for arguments in (
        ["generate", run, "1?"],
        ["evaluate", run, source],
        ["evaluate", run, source, "--base"],
        ["train", source, "--model", run, "--out", tmp_path / "out", "--method", "cot", "--steps", 1],
        ["encode", source, "--model", run, "--out", tmp_path / "encoded", "--steps", 1],
        ["generate", run, "1?", "--endpoint", "http://127.0.0.1:1"],
    ):
        result = CliRunner().invoke(main, list(map(str, arguments)), input="y\n" * 9)
        assert result.exit_code in (0, 1) and not isinstance(result.exception, ValueError), result.output
        assert not mark.exists() and "[y/N]" not in result.output
        if kind == "planted" and result.exit_code:
            assert result.output.count("\n") <= 3, result.output


def test_what_a_run_is_saved_with_does_not_know_of_code(tmp_path, run):
    open_tokenizer(str(run)).save_pretrained(tmp_path / "again")
    open_pretrained(AutoModelForCausalLM, str(run)).save_pretrained(tmp_path / "again")
    assert not [file for file in (tmp_path / "again").glob("*.json") if "trust_remote_code" in file.read_text()]


def test_attention_from_the_hub_is_not_loaded(run):
    change(run / "config.json", attn_implementation="kernels-community/evil")
    with pytest.raises(InputError, match="its attention is code of 'kernels-community/evil', which is not loaded"):
        open_pretrained(AutoModelForCausalLM, str(run))


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_that_would_run_code_are_not_opened(tmp_path, run, protocol, zipped):
    (run / "model.safetensors").unlink()
    mark = tmp_path / "mark"
    torch.save({"lm_head.weight": Planted(mark)}, run / "pytorch_model.bin", pickle_protocol=protocol)
    if not zipped:
        (run / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(mark), protocol))
    change(run / "mixlm.json", checksums={})
    assert "its weights hold more than numbers" in call("generate", run, "1?", code=1).output
    shutil.copy(run / "pytorch_model.bin", run / "vqvae" / "pytorch_model.bin")
    (run / "vqvae" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be opened as a VQ-VAE"):
        open_vqvae(run / "vqvae")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth", "training_args.bin"])
def test_a_checkpoint_that_would_run_code_is_not_resumed(tmp_path, name):
    source, out, mark = tmp_path / "rows.jsonl", tmp_path / "out", tmp_path / "mark"
    row = {"question": "1 + 1?", "steps": ["1 + 1 = 2"], "answer": "2"}
    source.write_text((json.dumps(row) + "\n") * 4)
    model = tmp_path / "model.yaml"
    model.write_text(
        "{model_type: llama, hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2,"
        " tokenizer: {vocab_size: 300}}"
    )
    options = TrainingOptions(method="cot", steps=3, batch_size=2, save_every=1)
    with pytest.raises(Interrupted):
        train(source, model, out, options, interrupt_at(2))
    checkpoints = sorted((out / "checkpoints").glob("checkpoint-*"))
    assert checkpoints
    for checkpoint in checkpoints:
        torch.save(Planted(mark), checkpoint / name)
        seal_checkpoint(checkpoint)  # as somebody would who knows of the checksums
    unread = name == "training_args.bin"  # nobody looks at it
    with nullcontext() if unread else pytest.raises(InputError, match="holds more than numbers"):
        train(source, model, out, options)
    assert not mark.exists()


ENDLESS = [
    *("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "{{ 1 // 0 }}", "{{ 'a' * 10 ** 18 }}"),
    "{{ range(10 ** 9) }}",
]
ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.mkdir('MARK') }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ self.__init__.__globals__.__builtins__.open('MARK', 'w') }}",
    "{% include '/etc/passwd' %}",
]


@pytest.mark.parametrize("template", [*ENDLESS, *ESCAPES])
def test_a_chat_template_cannot_leave_its_sandbox(tmp_path, template):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template.replace("MARK", str(tmp_path / "mark"))
    try:
        made = render_chat(tokenizer, [{"role": "user", "content": "1?"}], Sample("1?", (), "1"))
    except InputError as error:
        made = str(error)
    assert not (tmp_path / "mark").exists() and "<class" not in made and "root:" not in made


def test_a_folder_of_python_is_no_dataset(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "rows.py").write_text(f"import os; os.mkdir({str(tmp_path / 'mark')!r})")
    (folder / "rows.pkl").write_bytes(pickle.dumps(Planted(tmp_path / "mark")))
    assert "Error: " in call("data", "convert", folder, "--out", tmp_path / "out.jsonl", code=1).output
    assert not (tmp_path / "mark").exists()
