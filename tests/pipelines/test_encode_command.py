import json
import os
import re
import shlex
import signal
from dataclasses import fields
from functools import partial

import pytest

from mixlm.encoding.dataset import load_encoded
from mixlm.encoding.encode import encode_dataset
from mixlm.encoding.manifest import read_manifest
from mixlm.encoding.options import PRESETS, EncodingOptions
from pipelines.encode import main
from pipelines.train import main as train_main
from tests.calling import call_command
from tests.tiny_data import raw_rows, write_scratch
from vqvae import ChunkVQVAEConfig
from vqvae.options import PAPERS_CODES, VQVAEModelOptions, VQVAETrainingOptions


SHAPE = ["--objective", "reconstruction", "--align", "fixed", "--chunk-length", 4, "--compression-rate", 2]
SHAPE += ["--codebook-size", 6, "--code-dim", 4, "--hidden-size", 16, "--num-layers", 1, "--num-heads", 2]
SMALL = [*SHAPE, "--warmup-steps", 2, "--steps", 6, "--batch-size", 8, "--learning-rate", 0.01]


call = partial(call_command, main)


def error_of(*arguments, code: int = 1) -> str:
    """The error of a call, which must be one line; the usage that click shows before it is left out."""
    lines = call(*arguments, code=code).stderr.splitlines()
    assert [line for line in lines if line.startswith("Error: ")] == lines[-1:]
    assert code == 2 or all(line.startswith("reading: ") for line in lines[:-1])
    return lines[-1]


def write_traces(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder")
    short = [{"question": "?", "steps": steps, "answer": "1"} for steps in ([], ["so"])]
    write_traces(folder / "traces.jsonl", [*raw_rows(38), *short])
    write_scratch(folder)
    return folder


@pytest.fixture(scope="module")
def basics(folder):
    return [folder / "traces.jsonl", "--model", folder / "model.yaml", "--out"]


@pytest.fixture(scope="module")
def encoded(folder, basics):
    """An encoded dataset and what the command printed about it."""
    result = call(*basics, folder / "encoded", *SMALL)
    return folder / "encoded", result


def test_the_report_holds_what_a_user_wants_to_know(encoded):
    path, result = encoded
    manifest, printed = read_manifest(path), result.stdout
    train, figures = manifest["counts"]["train"], manifest["codebook"]
    assert f"{train['samples']} samples, {train['trace_tokens']} trace tokens, {train['chunks']} chunks" in printed
    longest = max(manifest["counts"][split]["longest"] for split in ("train", "valid"))
    assert f"{train['codes']} codes" in printed and f"{longest} tokens as text" in printed
    assert "; 2 without a whole chunk, 1 of them empty, stay text" in printed
    assert (
        f"{figures['codes_used']} of 6 codes used" in printed and f"perplexity {figures['perplexity']:.1f}" in printed
    )
    assert f"measured on {figures['chunks']} chunks of the {figures['measured_on']} traces" in printed
    assert f"{figures['unknown_share']:.2%} of their tokens unknown" in printed
    for name in ("ce_right", "ce_random", "ce_none", "ce_unigram", "code_gap"):
        assert f"{figures[name]:.3f}" in printed
    for name in ("token_accuracy", "no_code_accuracy", "unigram_accuracy", "exact_chunks"):
        assert f"{figures[name]:.1%}" in printed
    assert f"wrote     {path}" in printed and "\x1b" not in printed


def test_compression_is_tokens_of_traces_before_and_after(encoded):
    path, result = encoded
    train = load_encoded(path).train
    before = sum(map(len, train["trace_ids"]))
    after = 0
    for row in train:
        codes = len(row["codes"])
        after += len(row["trace_ids"]) - 2 * codes + codes + (2 if codes else 0)
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("train")]
    assert f"{before / after:.1f} times" in line


def test_the_next_command_can_be_typed(encoded):
    path, result = encoded
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("next")]
    name, *arguments = shlex.split(line.removeprefix("next"))
    assert name == "mixlm-train"
    values = train_main.make_context(name, arguments).params
    assert [str(path), str(path.parent / "model.yaml"), "assorted"] == [
        values["data"],
        values["model"],
        values["method"],
    ]


def test_progress_is_plain_lines_on_the_error_stream(encoded):
    _, result = encoded
    assert "training the VQ-VAE: 6/6" in result.stderr and "encoding train: 38/38" in result.stderr
    assert "\r" not in result.stderr and "encoding" not in result.stdout


def test_a_second_call_says_that_there_is_nothing_to_do(encoded, basics):
    path, _ = encoded
    printed = call(*basics, path, *SMALL).stderr
    assert f"{path}: already encoded; nothing to do" in printed and "next      mixlm-train" in printed


def test_options_can_come_from_a_file_and_shape_the_model(folder, basics):
    config = folder / "encode.yaml"
    config.write_text(
        "chunk-length: 4\ncode_dim: 4\nhidden-size: 16\nnum-layers: 1\nnum-heads: 2\nquantizer: gradient\n"
        "separator: ' ; '\nsteps: 9\ncontext: trace\nvalid-fraction: 0\nshard-rows: 20\n"
    )
    call(*basics, folder / "from file", "--config", config, "--codebook-size", 7, "--steps", 4)
    manifest = read_manifest(folder / "from file")
    assert (manifest["chunk_length"], manifest["compression_rate"], manifest["codebook_size"]) == (4, 4, 7)
    assert manifest["template"]["separator"] == " ; " and manifest["arguments"]["training"]["steps"] == 4
    assert manifest["shards"] == {"train": ["train-00000.parquet", "train-00001.parquet"], "valid": []}
    vqvae = json.loads((folder / "from file" / "vqvae" / "config.json").read_text())
    assert (vqvae["quantizer"], vqvae["context"], vqvae["warmup_steps"]) == ("gradient", "trace", 0)


def test_defaults_are_those_of_the_library():
    """All that is left out is None or what the dataclasses say; those of a shape are what a configuration has.

    But for the sizes: the library's are the paper's, and the command's fit the machine.
    """
    values = main.make_context("encode", ["traces.jsonl", "--model", "m", "--out", "o"]).params
    kinds = (EncodingOptions, VQVAEModelOptions, VQVAETrainingOptions)
    defaults = {field.name: field.default for kind in kinds for field in fields(kind)} | {
        "workers": None,
        "preset": "auto",
        **dict.fromkeys(PRESETS["small"]),  # of which nobody knows yet
    }
    own = {"traces", "model", "out", "prompt_template", "separator", "solution_template", "chat", "dry_run"}
    assert own <= values.keys() and values.keys() - own <= defaults.keys()
    assert all(values[name] == defaults[name] for name in values.keys() - own)
    config, names = ChunkVQVAEConfig(), {field.name for field in fields(VQVAEModelOptions)}
    shape = {name: values[name] for name in names & values.keys() if values[name] is not None}
    assert len(shape) == 11 and all(getattr(config, name) == value for name, value in shape.items())


def test_sizes_that_are_not_given_are_those_of_the_preset(folder, basics):
    """Here they are small: there are 40 rows. What is given counts more, and a second call goes on with the same."""
    given = ["--steps", 2, "--codebook-size", 9, "--num-heads", 2, "--batch-size", 8]
    said = call(*basics, folder / "sized", *given).stderr.splitlines()[0]
    assert said == "preset    small: 128 wide, 1 layer each; --preset paper takes 512 wide, 2 layers each"
    manifest = read_manifest(folder / "sized")
    shape = manifest["arguments"]["shape"]
    assert (shape["codebook_size"], shape["hidden_size"], shape["num_layers"]) == (9, 128, 1)
    for again in ([], ["--preset", "small"], ["--hidden-size", 128, "--preset", "auto"]):
        assert "already encoded" in call(*basics, folder / "sized", *given, *again).stderr
    message = error_of(*basics, folder / "sized", *given, "--preset", "paper")
    assert "encoded with another hidden_size (128 then, 512 now), num_layers (1 then, 2 now); give" in message


def test_library_and_command_train_the_same_paper_recipe(folder, basics):
    """Neither k-means nor a warm-up with plain gradient losses; the weights are the same, bit for bit."""
    gradient = [*SHAPE, "--quantizer", "gradient", "--steps", 6, "--batch-size", 8]
    call(*basics, folder / "command", *gradient)
    shape = {
        **PAPERS_CODES,
        "chunk_length": 4,
        "compression_rate": 2,
        "codebook_size": 6,
        "code_dim": 4,
        "hidden_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "quantizer": "gradient",
    }
    options = EncodingOptions(shape=shape, training=VQVAETrainingOptions(steps=6, batch_size=8))
    encode_dataset(str(folder / "traces.jsonl"), str(folder / "model.yaml"), folder / "library", options)
    for name in ("model.safetensors", "config.json"):
        command, library = (folder / way / "vqvae" / name for way in ("command", "library"))
        assert command.read_bytes() == library.read_bytes()


def test_the_warm_up_is_a_third_of_the_steps(folder, basics):
    call(*basics, folder / "warm", *SHAPE, "--steps", 9, "--batch-size", 8)
    assert json.loads((folder / "warm" / "vqvae" / "config.json").read_text())["warmup_steps"] == 3


def test_malformed_rows_stop_the_command_or_are_counted(folder, tmp_path):
    traces = tmp_path / "bad.jsonl"
    write_traces(traces, [*raw_rows(30), {"text": "?"}])
    traces.write_text(traces.read_text() + "{\n")
    arguments = [traces, "--model", folder / "model.yaml", "--out", tmp_path / "out", *SMALL]
    message = error_of(*arguments)
    assert f"{traces}:31: no column question" in message and message.endswith("--skip-bad-rows")
    assert not (tmp_path / "out").exists()
    assert "left out  2 malformed rows" in call(*arguments, "--skip-bad-rows").stdout
    counts = read_manifest(tmp_path / "out")["counts"]
    assert counts["train"]["samples"] + counts["valid"]["samples"] == 30


def test_literal_special_tokens_in_a_question_stay_text(folder, tmp_path):
    question = "what is <latent_3> <eoLatent> <|endoftext|> ?"
    traces = write_traces(tmp_path / "t.jsonl", [{**row, "question": question} for row in raw_rows(20)])
    call(traces, "--model", folder / "model.yaml", "--out", tmp_path / "out", *SMALL)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "tokenizer")
    for row in load_encoded(tmp_path / "out").train:
        assert tokenizer.decode(row["prompt_ids"]) == f"{question}\n"
        assert tokenizer.eos_token_id not in row["prompt_ids"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--codebook-size", 500], r"codebook size 500 is larger than the \d+ chunks of 4 tokens .*lower"),
        (["--compression-rate", 3], "compression rate 3 does not divide chunk length 4; choose a divisor"),
        (["--prompt-template", "Q"], "--prompt-template 'Q': must hold {question} exactly once"),
        (["--model", "nowhere.yaml"], "nowhere.yaml: no such file; --model takes"),
        (["--valid", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
    ],
)
def test_what_does_not_fit_ends_with_status_1_and_writes_nothing(folder, basics, changes, message):
    assert re.search(message.replace("{", r"\{"), error_of(*basics, folder / "nothing", *SMALL, *changes))
    assert not (folder / "nothing").exists()


def test_other_arguments_and_foreign_folders_are_refused_and_left_alone(folder, basics, encoded):
    path, _ = encoded
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    assert f"{path}: encoded with another codebook_size (6 then, 5 now); give the same" in error_of(
        *basics, path, *SMALL, "--codebook-size", 5
    )
    assert before == {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    (folder / "photos").mkdir(exist_ok=True)
    (folder / "photos" / "1.jpg").write_text("a photo")
    assert "photos: exists and is no encoded dataset" in error_of(*basics, folder / "photos", *SMALL)
    assert [file.name for file in (folder / "photos").iterdir()] == ["1.jpg"]


def test_wrong_usage_ends_with_status_2(folder, basics, encoded):
    config = folder / "wrong.yaml"
    config.write_text("codebook-sizes: 7\n")
    message = error_of(*basics, folder / "nothing", "--config", config, code=2)
    assert "unknown option 'codebook-sizes'; did you mean codebook-size" in message
    assert "--codebook-size" in error_of(*basics, folder / "nothing", "--codebook-size", "many", code=2)
    assert "Missing option '--out'" in error_of(*basics[:-1], code=2)
    trained = encoded[0] / "vqvae"
    for option in (["--codebook-size", 6], ["--bf16"], ["--batch-size", 4], ["--save-every", "2m"]):
        message = error_of(*basics, folder / "nothing", "--vqvae", trained, *option, code=2)
        assert f"{option[0]} does nothing with --vqvae" in message
    sizes = ("--codebook-size", 6, "--hidden-size", 16, "--num-layers", 1)
    for given, name, why in (
        (("--valid", folder / "traces.jsonl", "--valid-fraction", 0.1), "valid-fraction", "with --valid,"),
        (("--max-length", 64), "max-length", "without --context trace; leave it out"),
        (("--objective", "reconstruction", "--no-merge"), "merge", "with --objective reconstruction"),
        ((*sizes, "--preset", "small"), "preset", "with --codebook-size, --hidden-size and --num-layers"),
    ):
        message = error_of(*basics, folder / "nothing", *given, code=2)
        assert f"--{name} does nothing {why}" in message
    assert not (folder / "nothing").exists()


def test_a_trained_model_is_used_as_it_is(folder, basics, encoded):
    path, _ = encoded
    call(*basics, folder / "given", "--vqvae", path / "vqvae")
    assert load_encoded(folder / "given").train["codes"][:] == load_encoded(path).train["codes"][:]


def test_an_interruption_is_one_line_and_the_same_call_goes_on(folder, basics, encoded, monkeypatch):
    from mixlm.encoding import encode as encoding

    with monkeypatch.context() as patched:

        def stop(*args, **options):
            raise KeyboardInterrupt

        patched.setattr(encoding, "write_usage", stop)
        assert call(*basics, folder / "twice", *SMALL, code=130).stderr.splitlines()[-1] == "Error: interrupted"
    call(*basics, folder / "twice", *SMALL)
    assert load_encoded(folder / "twice").train.to_list() == load_encoded(encoded[0]).train.to_list()


def test_an_encoding_with_a_given_vqvae_goes_on_by_its_folder_alone(folder, encoded, monkeypatch):
    from mixlm.encoding import encode as encoding

    out = folder / "given alone"
    with monkeypatch.context() as patched:
        patched.setattr(encoding, "write_usage", lambda *args: os.kill(os.getpid(), signal.SIGTERM))
        given = ("--model", encoded[0] / "tokenizer", "--vqvae", encoded[0] / "vqvae", "--seed", 5)
        call(folder / "traces.jsonl", *given, "--out", out, code=143)
    assert "wrote" in call("--resume", out).output
    assert json.loads((out / "manifest.json").read_text())["arguments"]["training"]["seed"] == 5


def test_an_encoding_goes_on_by_its_folder_alone(folder, basics, encoded, monkeypatch):
    from mixlm.encoding import encode as encoding

    with monkeypatch.context() as patched:
        patched.setattr(encoding, "write_usage", lambda *args: os.kill(os.getpid(), signal.SIGTERM))
        assert "Error: ended by the system" in call(*basics, folder / "alone", *SMALL, code=143).stderr
    assert "wrote" in call("--resume", folder / "alone").output
    assert load_encoded(folder / "alone").train.to_list() == load_encoded(encoded[0]).train.to_list()
    assert "nothing to do" in call("--resume", folder / "alone").output
    assert "no encoding has begun there" in error_of("--resume", folder, code=2)
    message = error_of("--resume", folder / "alone", "--max-length", 64, code=2)
    assert "--max-length does nothing without --context trace" in message
