import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from mixlm.data.template import Template
from mixlm.evaluation.checks import unmarked_answer
from mixlm.evaluation.measuring.records import find_answer
from mixlm.generation.engine import Engine
from mixlm.generation.kept.finished import begun_date, faults_of, run_mark, seal_of
from mixlm.generation.kept.part_file import PartFile
from mixlm.generation.options import DECODING
from mixlm.run import base_run
from pipelines.evaluate import main
from pipelines.generate import main as generate_main
from tests.calling import call_command, lines_of
from tests.chat_templates import DATED, chat_tokenizer, set_clock
from tests.completions_stub import VERSION, Stub, serving
from tests.tiny_runs import saved_run, tiny_model, write_encoded_for


@pytest.fixture(scope="module")
def encoded(run, tmp_path_factory):
    return write_encoded_for(tmp_path_factory.mktemp("data") / "encoded", run.tokenizer(), train=2, valid=3)


call = partial(call_command, main)


def test_the_curve_beside_free_decoding(run, encoded, tmp_path):
    out = tmp_path / "figures.json"
    latents = ("--latents", "free,text,exact:0%,25%,50%,100%")
    shown = call(run.path, encoded, *latents, "--out", out, "--batch-size", 2).stdout
    table = [line for line in shown.splitlines() if "%" in line and " - " in line]
    modes = ["free", "text", "exact:0%", "exact:25%", "exact:50%", "exact:100%"]
    assert [line.split()[0] for line in table] == modes
    assert "loss m=0:" in shown and "loss m=all:" in shown and f"wrote {out}" in shown

    figures = json.loads(out.read_text())
    assert list(figures["modes"]) == modes
    assert (figures["rows"], figures["check"], figures["data"]) == (3, "exact", str(encoded))
    records = [json.loads(line) for line in (tmp_path / "figures.jsonl").read_text().splitlines()]
    assert len(records) == 18 and "records" not in figures
    all_codes = [record for record in records if record["latents"] == "exact:100%"]
    assert [len(record["codes"]) for record in all_codes] == [record["own_codes"] for record in all_codes]
    assert min(record["own_codes"] for record in all_codes) > 1
    by_text = [record["tokens"]["latent"] for record in records if record["latents"] in ("text", "exact:0%")]
    assert by_text == [0] * 6
    assert figures["modes"]["free"]["accuracy"] == sum(r["right"] for r in records if r["latents"] == "free") / 3


def test_raw_files_know_how_many_codes_a_trace_would_have(run, tmp_path):
    source, out = tmp_path / "rows.jsonl", tmp_path / "figures.json"
    rows = [
        {"question": "1 + 2?", "steps": ["1 + 2 = 3"], "answer": "3"},
        {"question": "9?", "steps": [], "answer": "9"},
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    call(run.path, source, "--latents", "exact:100%", "--check", "number", "--out", out)
    records = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    tokens = len(run.tokenizer()("1 + 2 = 3")["input_ids"])
    assert [len(record["codes"]) for record in records] == [tokens // 2, 0]
    assert [record["gold"] for record in records] == ["3", "9"]
    assert list(json.loads(out.read_text())["loss"]) == ["m=0"]


def test_answers_are_compared_as_the_rows_mean_it_and_that_is_said(run, tmp_path):
    source, out = tmp_path / "rows.jsonl", tmp_path / "figures.json"
    rows = [{"question": f"{n}?", "answer": f"it is {n}\n#### {n}"} for n in ("9", "9 or so")]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = call(run.path, source, "--max-new-tokens", 2, "--out", out)
    assert f"answers are compared by --check number, as {source} means it" in shown.stderr
    assert "--check number cannot read 1 of 2 right answers, such as '9 or so' in row 1" in shown.stderr
    assert json.loads(out.read_text())["check"] == "number" and "check number" in shown.stdout
    asked = call(run.path, source, "--max-new-tokens", 2, "--check", "exact", "--out", out)
    assert "compared by" not in asked.stderr and json.loads(out.read_text())["check"] == "exact"


@pytest.fixture(scope="module")
def plain(run, tmp_path_factory):
    """A checkpoint that was not trained here, in bfloat16."""
    folder = tmp_path_factory.mktemp("models") / "plain"
    run.load_model().bfloat16().save_pretrained(folder)
    run.tokenizer().save_pretrained(folder)
    return folder


def test_a_model_that_was_not_trained_answers_as_a_run_of_its_weights_would(run, plain, tmp_path):
    source, template = tmp_path / "rows.jsonl", ("--prompt-template", "Q: {question}\\nA:")
    source.write_text(
        "".join(json.dumps({"question": f"{n}?", "steps": [], "answer": str(n)}) + "\n" for n in range(9))
    )
    options = ("--check", "number", "--max-new-tokens", 24)
    call(plain, source, "--base", *template, *options, "--out", tmp_path / "base.json")
    trained = replace(run, path=tmp_path / "cot", method_name="cot", template=Template(prompt="Q: {question}\nA:"))
    Engine.base(str(plain), Template()).model.save_pretrained(trained.path)
    run.tokenizer().save_pretrained(trained.path)
    trained.save()
    call(trained.path, source, *options, "--out", tmp_path / "cot.json")
    base, cot = (lines_of(tmp_path / f"{name}.jsonl") for name in ("base", "cot"))
    assert [one["text"] for one in base] == [one["text"] for one in cot]
    assert [one["answer"] for one in base] == [unmarked_answer(one["text"], "number") for one in base]
    assert {one["answer"] for one in cot} == {None} and len({one["answer"] for one in base}) > 2
    assert json.loads((tmp_path / "base.json").read_text())["method"] == "base"


def test_a_model_is_asked_in_the_precision_in_which_training_begins(plain):
    assert Engine.base(str(plain), Template()).model.dtype == torch.float32
    assert load_file(plain / "model.safetensors")["lm_head.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("text", "answer"),
    [("5 and 6\n### 7", "7"), ("### Steps\n5 and 6", "6"), ("5 and 6", "6"), ("none", None)],
)
def test_what_stands_after_the_marker_goes_before_the_last_number(plain, text, answer):
    assert find_answer(text, base_run(str(plain), Template()), "number") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so\n### \\frac{1}{2}", "\\frac{1}{2}"),
        ("### Step 1\n40 + 32 = 72, hence $\\boxed{72}$ clips.", "72"),
        ("### Step 1\nAll in all 72.\nThe answer is 72.\n\nQuestion: 2 + 2?", "72"),
        ("none", None),
    ],
)
def test_a_heading_is_no_marker_of_mathematics(plain, text, answer):
    assert find_answer(text, base_run(str(plain), Template()), "math") == answer


def test_a_model_that_was_not_trained_is_asked_on_the_date_that_was_begun(tmp_path, monkeypatch):
    """Its chat template reads the clock: the same command on the next day has nothing to do, or goes on."""
    tokenizer, plain = chat_tokenizer(DATED), tmp_path / "plain"
    tokenizer.save_pretrained(plain)
    tiny_model("llama", context=256, rows=len(tokenizer)).float().save_pretrained(plain)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": "1?", "steps": [], "answer": "1"}) + "\n")
    out = tmp_path / "base.json"
    command = (plain, tmp_path / "rows.jsonl", "--base", "--chat", "--check", "number", "--max-new-tokens", 4)
    set_clock(monkeypatch, "2024-07-06T23:59:59")
    call(*command, "--out", out)
    before = out.read_bytes()
    assert json.loads(before)["finished"]["identity"]["template"]["date"] == "2024-07-06T23:59:59"
    set_clock(monkeypatch, "2024-07-07T00:00:01")
    assert "already evaluated" in call(*command, "--out", out).output and out.read_bytes() == before
    call(*command, "--limit", 1, "--out", out)  # which asks no less, but is another command
    assert json.loads(out.read_bytes())["finished"]["identity"]["template"]["date"] == "2024-07-07T00:00:01"


def test_a_date_is_that_of_the_same_command_whose_answers_may_have_been_put_aside(tmp_path):
    output, told = tmp_path / "base[1].jsonl", {"data": "rows.jsonl", "limit": 2}
    for date, arguments, mark in (("monday", {**told, "batch_size": 8}, ".0a"), ("tuesday", {"data": "x"}, "")):
        identity = {"run": run_mark(tmp_path / "m"), "template": {"date": date}}
        part = tmp_path / f".{output.name}.part{mark}"
        PartFile(part, {"identity": identity, "arguments": arguments}).close()
    PartFile(tmp_path / f".{output.name}.part.0b", {"identity": {"run": "m"}}).close()  # of another kind
    assert begun_date(output, tmp_path / "m", {**told, "run": "m", "batch_size": 1}) == "monday"
    assert begun_date(output, tmp_path / "m", {"data": "x"}) == "tuesday"
    assert begun_date(output, tmp_path / "m", {"data": "y"}) is begun_date(output, tmp_path / "n", told) is None


def test_a_model_that_was_not_trained_stops_where_its_configuration_says(plain):
    """A folder without generation_config.json, or a model of the Hub, as transformers opens them."""
    told = json.loads((plain / "config.json").read_text()) | {"eos_token_id": [0, 7]}
    before = (plain / "generation_config.json").read_bytes()
    (plain / "config.json").write_text(json.dumps(told))
    run = base_run(str(plain), Template())
    assert run.generation_config().eos_token_id == json.loads(before)["eos_token_id"]
    (plain / "generation_config.json").unlink()
    try:
        assert run.generation_config().eos_token_id == [0, 7]
        assert Engine.base(str(plain), Template()).model.generation_config.eos_token_id == [0, 7]
    finally:
        (plain / "generation_config.json").write_bytes(before)


def test_figures_in_the_folder_of_a_base_model_are_no_part_of_it(plain, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": "1?", "steps": [], "answer": "1"}) + "\n")
    for _ in range(2):
        said = call(
            *(plain, tmp_path / "rows.jsonl", "--base", "--check", "number", "--max-new-tokens", 4),
            *("--out", plain / "base.json"),
        ).output
    assert "already evaluated" in said


def test_answers_of_an_evaluation_are_not_replaced_by_others_and_replace_none(run, tmp_path):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "one.json"
    rows.write_text(json.dumps({"question": "1?", "steps": [], "answer": "1"}) + "\n")
    generate = ("--input", rows, "--max-new-tokens", 4, "--output", out.with_suffix(".jsonl"))
    call_command(generate_main, run.path, *generate)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    evaluate = ("--check", "number", "--max-new-tokens", 4, "--out", out)
    error, seal = call(run.path, rows, *evaluate, code=1).stderr, seal_of(out.with_suffix(".jsonl"))
    assert f"one.jsonl: holds the answers of another command, as {seal} says; choose another name" in error
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    for path in (seal, out.with_suffix(".jsonl")):
        path.unlink()
    call(run.path, rows, *evaluate)
    assert not faults_of(out.with_suffix(".jsonl"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    error = call_command(generate_main, run.path, *generate, code=1).stderr
    assert f"one.jsonl: holds the answers of the evaluation {out}; choose another name" in error
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_the_data_are_never_written_over(run, tmp_path, name):
    (tmp_path / name).write_text("the user's own")
    error = call(run.path, tmp_path / name, "--out", tmp_path / "rows.json", code=1).stderr
    assert error.startswith(f"Error: {tmp_path / name}: is what is read, and would be lost; give another place")
    assert (tmp_path / name).read_text() == "the user's own" and len([*tmp_path.iterdir()]) == 1


def test_a_template_is_for_a_model_that_has_none(run, encoded, tmp_path):
    error = call(run.path, encoded, "--separator", "", code=1).stderr
    assert error.startswith(f"Error: {run.path}: a run has the template that it was trained with; leave yours out")
    (tmp_path / "model.yaml").write_text("model_type: llama\n")
    error = call(tmp_path / "model.yaml", encoded, "--base", code=1).stderr
    assert "model.yaml: a model from scratch knows nothing before it is trained" in error
    assert "cannot be opened as a model folder" in call(tmp_path / "no", encoded, "--base", code=1).stderr


def test_figures_say_how_answers_were_decoded(run, encoded, tmp_path):
    out = tmp_path / "figures.json"
    greedy, sampled = ("--latents", "text", "--limit", 1, "--out", out), ("--temperature", 1)
    for options, decoding in (((), DECODING), (("--decoding", "kind"), "kind"), (("--decoding", "plain"), "plain")):
        shown = call(run.path, encoded, *greedy, *options).stdout
        assert json.loads(out.read_text())["decoding"] == decoding and ("kind first" in shown) == (decoding == "kind")
    call(run.path, encoded, *greedy, *sampled, "--decoding", "kind")
    assert json.loads(out.read_text())["decoding"] == "plain"  # a sample is drawn from the same distribution


def test_limit_split_and_samples(run, encoded):
    shown = call(run.path, encoded, "--split", "train", "--limit", 1, "--samples", 3, "--temperature", 1).stdout
    assert "assorted: 1 rows x 3 samples" in shown
    assert "solved" in shown and "solved" not in call(run.path, encoded, "--split", "train", "--limit", 1).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--latents", "exact:25%,half"], 1, "--latents 'half': no such mode"),
        (["--split", "test"], 1, "--split test: an encoded dataset has train and valid"),
        (["--check", "fuzzy"], 2, "--check"),
        (["--check", "maze"], 1, "Error: maze"),  # before anything is decoded: no line of progress comes first
        (["--limit", "0"], 2, "--limit"),
        (["--out", "figures.txt"], 2, "give a name that ends in .json"),
        (["--latents", "exact:100%", "--max-new-tokens", "2"], 1, "row 0: "),
    ],
)
def test_mistakes_are_one_line(run, encoded, arguments, code, message):
    result = call(run.path, encoded, *arguments, code=code)
    assert message in result.stderr and "evaluating" not in result.stderr and result.stdout == ""


def test_old_figures_stand_when_something_fails(run, encoded, tmp_path):
    out = tmp_path / "figures.json"
    out.write_text("old")
    out.with_suffix(".jsonl").write_text("old")
    call(run.path, encoded, "--out", out, "--latents", "exact:100%", "--max-new-tokens", 2, code=1)
    assert out.read_text() == out.with_suffix(".jsonl").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_things_are_named(run, encoded, tmp_path):
    assert "no such run folder" in call(tmp_path / "nothing", encoded, code=1).stderr
    assert "no such file" in call(run.path, tmp_path / "nothing.jsonl", code=1).stderr


def require_same(here, there, engine):
    """Answers are those of decoding here, and so are figures but for seconds, losses up to what rounding does."""
    assert lines_of(there.with_suffix(".jsonl")) == lines_of(here.with_suffix(".jsonl"))
    own, figures = (json.loads(path.read_text()) for path in (here, there))
    assert own.pop("engine") is None and figures.pop("engine") == engine
    own_loss, loss = own.pop("loss"), figures.pop("loss")
    assert own_loss.keys() == loss.keys() and all(loss[name] == pytest.approx(own_loss[name], 1e-5) for name in loss)
    for one in (own, figures):
        del one["finished"], one["digest"]  # which tell who was asked, too
        for mode in one["modes"].values():
            del mode["seconds"]
    assert figures == own


def test_a_server_of_ids_gives_the_figures_of_decoding_here(run, encoded, tmp_path):
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    modes = ("--latents", "free,text,direct,exact:50%,exact:2,max:1", "--split", "train")
    shown = call(run.path, encoded, *modes, "--out", here).stdout
    with serving(Stub(Engine(run))) as url:
        remote = call(run.path, encoded, *modes, "--endpoint", url, "--concurrency", 2, "--out", there).stdout
    require_same(here, there, f"vllm {VERSION}")
    assert {len(one["codes"]) for one in lines_of(there.with_suffix(".jsonl")) if one["latents"] == "exact:2"} == {2}
    losses = [[line for line in text.splitlines() if line.startswith("loss")] for text in (shown, remote)]
    assert losses[0] == losses[1] and len(losses[0]) == 2 and f"decoded by vllm {VERSION}" in remote


@pytest.mark.parametrize("method", ["cot", "pause", "coconut"])
def test_a_server_gives_the_figures_of_every_kind_of_run(method, tmp_path):
    """Thoughts, and losses on answers that hold some, are computed here."""
    run, source = saved_run(tmp_path / "run", method), tmp_path / "rows.jsonl"
    if method == "coconut":
        run.method_options, run.step = {"stages": 1, "thoughts_per_step": 2, "epochs_per_stage": 1.0}, 100
        run.save()
    source.write_text(
        "".join(json.dumps({"question": f"{n}?", "steps": ["1"], "answer": "1"}) + "\n" for n in range(3))
    )
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    call(run.path, source, "--out", here, "--max-new-tokens", 8)
    with serving(Stub(Engine(run))) as url:
        call(run.path, source, "--out", there, "--max-new-tokens", 8, "--endpoint", url)
    require_same(here, there, f"vllm {VERSION}")
    assert list(json.loads(here.read_text())["loss"]) == ["own"]
    assert (lines_of(here.with_suffix(".jsonl"))[0]["tokens"]["thought"] > 0) == (method == "coconut")


def test_a_server_of_a_model_that_was_not_trained_here(plain, tmp_path):
    source, here, there = tmp_path / "rows.jsonl", tmp_path / "here.json", tmp_path / "there.json"
    source.write_text(
        "".join(json.dumps({"question": f"{n}?", "steps": [], "answer": str(n)}) + "\n" for n in range(3))
    )
    options = (plain, source, "--base", "--check", "number", "--max-new-tokens", 8, "--out")
    call(*options, here)
    with serving(Stub(Engine.base(str(plain), Template(), "cpu"))) as url:
        call(*options, there, "--endpoint", url)
    require_same(here, there, f"vllm {VERSION}")


def test_a_server_that_tells_no_losses_leaves_them_out(run, encoded, tmp_path):
    stub, out = Stub(Engine(run)), tmp_path / "figures.json"
    stub.tells = False
    with serving(stub) as url:
        shown = call(run.path, encoded, "--latents", "text", "--endpoint", url, "--out", out).stdout
    assert json.loads(out.read_text())["loss"] == {}
    assert "loss: not known, as the server does not tell how likely given tokens are" in shown


def test_a_server_that_is_gone_before_the_losses_is_asked_for_them_again(run, encoded, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    stub, here, there = Stub(Engine(run)), tmp_path / "here.json", tmp_path / "there.json"
    command = (run.path, encoded, "--latents", "text", "--concurrency", 1, "--out")
    call(*command[:4], "--out", here)
    with serving(stub) as url:
        stub.failures = [*[None] * 4, *[503] * 99]
        error = call(*command, there, "--endpoint", url, code=1).stderr
        assert "no server answers" in error and "3 of 3 answers are kept" in error
        stub.failures, stub.bodies = [], []
        call(*command, there, "--endpoint", url)
    assert {"prompt_logprobs" in body for body in stub.bodies} == {True}
    require_same(here, there, f"vllm {VERSION}")


def test_of_a_server_of_text_the_kinds_of_tokens_are_not_known(run, encoded, tmp_path):
    out = tmp_path / "figures.json"
    with serving(Stub(Engine(run), takes_ids=False, returns_ids=False)) as url:
        shown = call(run.path, encoded, "--endpoint", url, "--out", out).stdout
    (figures,) = json.loads(out.read_text())["modes"].values()
    assert figures["latents"] is None and figures["tokens"]["total"] > 0 and figures["tokens"]["text"] is None
    assert {record["codes"] for record in lines_of(out.with_suffix(".jsonl"))} == {None}
    assert "tokens" in shown and "in papers" not in shown and "None" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--latents", "exact:50%"], "takes or returns text alone, and row 0 is to have --latents exact"),
        (["--decoding", "kind"], "takes or returns text alone, so it decodes plainly; give --decoding plain"),
    ],
)
def test_what_a_server_cannot_do_is_one_line(run, encoded, arguments, message):
    with serving(Stub(Engine(run), takes_ids=False, returns_ids=False)) as url:
        result = call(run.path, encoded, "--endpoint", url, *arguments, code=1)
    assert message in result.stderr and result.stdout == ""


def test_figures_without_all_answers_are_not_written(run, encoded, tmp_path):
    stub, out = Stub(Engine(run)), tmp_path / "figures.json"
    stub.refused, command = "2 + 1?", (run.path, encoded, "--latents", "text", "--out", out)
    with serving(stub) as url:
        result = call(*command, "--endpoint", url, code=1)
    assert (
        "Error: 1 of 3 answers are missing, the first for row 2: status 400, the prompt is too long" in result.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == [".figures.jsonl.part"]
    stub.refused, stub.bodies = None, []
    with serving(stub) as url:
        call(*command, "--endpoint", url)
    asked = [body for body in stub.bodies if "prompt_logprobs" not in body]  # the losses are asked for again, too
    assert len(asked) == 1 and len(lines_of(out.with_suffix(".jsonl"))) == 3


def test_a_file_has_no_parts(run, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps({"question": "9?", "steps": [], "answer": "9"}) + "\n")
    message = f"--split tset: the file {source} has no parts; leave --split out"
    assert message in call(run.path, source, "--split", "tset", code=1).stderr
    call(run.path, source, "--split", "train")
