import json
from functools import partial

import pytest

from mixlm.generation.explain import LatentReader
from pipelines.generate import main
from tests.calling import call_command, lines_of
from tests.launching import launch
from tests.tiny_runs import saved_run


call = partial(call_command, main)


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    texts = ["1 + 2?", "1 + 2 + 3 + 4 + 5?", "9?", "<latent_3> <eoLatent>"]
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
    return path


def test_a_question_is_answered_on_the_terminal(run):
    output = call(run.path, "1 + 2?", "--latents", "exact:3", "--max-new-tokens", 9).stdout
    latents, *text, counts = output.splitlines()
    assert len(latents.split()) == 3 and all(name.startswith("<latent_") for name in latents.split())
    assert "latent" not in "".join(text)
    assert counts.startswith("(") and "3 latent, 2 delimiter" in counts


def test_explain_shows_a_row_for_each_latent(run):
    usage = run.path / "vqvae" / "usage.json"
    every = {str(code): [["[bold] 1\n", 3]] for code in range(5)}
    usage.write_text(json.dumps({"totals": {str(code): 4 for code in range(5)}, "chunks": every}))
    output = call(run.path, "1 + 2?", "--latents", "exact:2", "--max-new-tokens", 6, "--explain").stdout
    assert "stood for in training" in output and output.count('"[bold] 1\\n" (75%)') == 2
    usage.unlink()
    result = call(run.path, "1?", "--latents", "exact:1", "--max-new-tokens", 4, "--explain")
    assert "nothing that was counted" in result.stdout


def test_latents_are_not_explained_by_what_does_not_read_them_as_they_were_trained(run, monkeypatch):
    monkeypatch.setattr(LatentReader, "__init__", lambda self, answerer: setattr(self, "in_place", False))
    assert call(run.path, "1?", "--explain", code=1).stderr.splitlines()[-1] == (
        "Error: --explain: latents of method 'assorted' stand anywhere in an answer, and stage 1 reads each with all "
        "before it; leave it out (mixlm analyze --only codes tells what codes stand for)"
    )


def test_a_file_is_answered_in_its_order(run, questions, tmp_path):
    out = tmp_path / "answers.jsonl"
    options = ("--input", questions, "--output", out, "--latents", "max:2", "--max-new-tokens", 8)
    result = call(run.path, *options, "--batch-size", 3)
    assert f"wrote {out}: 4 answers" in result.stdout
    records = lines_of(out)
    assert [record["question"] for record in records] == [row["question"] for row in lines_of(questions)]
    assert [record["row"] for record in records] == [0, 1, 2, 3]
    for record in records:
        assert set(record) == {
            "row", "sample", "latents", "question", "answer", "text", "codes", "tokens", "finished",
        }  # fmt: skip
        assert record["latents"] == "max:2" and record["tokens"]["latent"] == len(record["codes"]) <= 2
    again = call(run.path, *options, "--batch-size", 1)
    assert again.stderr == f"{out}: already answered, 4 answers; nothing to do\n" and not again.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, f"{out.name}.mixlm", "questions.jsonl"]
    out.unlink()
    call(run.path, *options, "--batch-size", 1)
    assert lines_of(out) == records


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_temperature_is_a_number(run, value):
    message = call(run.path, "1?", "--temperature", value, code=2).stderr
    assert f"Invalid value for '--temperature': {value} is no number that can be computed with" in message


def test_sampling_with_explanations_into_a_file(run, questions, tmp_path):
    out = tmp_path / "answers.jsonl"
    options = ("--temperature", 1.5, "--top-k", 20, "--samples", 2, "--seed", 3, "--max-new-tokens", 6)
    call(run.path, "--input", questions, "--output", out, "--latents", "exact:2", "--explain", *options)
    records = lines_of(out)
    assert [(record["row"], record["sample"]) for record in records] == [(row, s) for row in range(4) for s in (0, 1)]
    for record in records:
        assert [reading["code"] for reading in record["readings"]] == record["codes"] and len(record["codes"]) == 2
        assert all(0 < reading["probability"] <= 1 for reading in record["readings"])


def test_print_prompt_shows_string_and_ids_without_the_model(run, monkeypatch):
    monkeypatch.setattr("mixlm.run.Run.load_model", None)
    shown = json.loads(call(run.path, "1 + <latent_3>?", "--print-prompt").stdout)
    assert shown["prompt"] == "1 + <latent_3>?\n"
    tokenizer = run.tokenizer()
    assert tokenizer.decode(shown["prompt_ids"]) == shown["prompt"]
    assert not set(shown["prompt_ids"]) & set(run.ids.present())


def test_options_from_a_file(run, questions, tmp_path):
    config, out = tmp_path / "generate.yaml", tmp_path / "answers.jsonl"
    config.write_text(f"input: {questions}\noutput: {out}\nlatents: exact:1\nmax-new-tokens: 5\n")
    call(run.path, "--config", config)
    assert [len(record["codes"]) for record in lines_of(out)] == [1, 1, 1, 1]
    config.write_text("latent: free\n")
    assert "unknown option 'latent'; did you mean latents" in call(run.path, "1?", "--config", config, code=2).output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either a QUESTION or --input FILE"),
        (["1?", "--input", "x.jsonl"], 2, "give either a QUESTION or --input FILE"),
        (["1?", "--latents", "some"], 1, "--latents 'some': no such mode"),
        (["1?", "--latents", "exact:50%"], 1, "a share needs a reference trace"),
        (["1?", "--samples", "2"], 1, "--samples: greedy decoding"),
        (["1?", "--top-p", "1.5"], 2, "--top-p"),
        (["1?", "--device", "abacus"], 1, "--device abacus: there is no such device"),
        (["1?", "--latents", "exact:9", "--max-new-tokens", "5"], 1, "do not fit in the 5 tokens"),
        (["1" * 200], 1, "the question: the prompt has 201 tokens, the model's context holds 64"),
        (["--input", "missing.jsonl"], 1, "missing.jsonl: no such file"),
        (["1?", "--output", "no/such/folder/out.jsonl"], 1, "cannot be written"),
    ],
)
def test_mistakes_are_one_line(run, arguments, code, message):
    result = call(run.path, *arguments, code=code)
    assert message in result.stderr and result.stdout == ""


def test_a_long_question_in_a_file_is_named_and_the_old_output_stands(run, tmp_path):
    source, out = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    source.write_text(json.dumps({"question": "1?"}) + "\n" + json.dumps({"question": "2" * 99}) + "\n")
    out.write_text("old\n")
    result = call(run.path, "--input", source, "--output", out, code=1)
    assert f"{source}:2: the prompt has 100 tokens, the model's context holds 64" in result.stderr
    assert out.read_text() == "old\n" and len(list(tmp_path.iterdir())) == 2


def test_an_unfinished_run_is_named(tmp_path):
    (tmp_path / "run").mkdir()
    assert "no mixlm.json" in call(tmp_path / "run", "1?", code=1).stderr
    assert "no such run folder" in call(tmp_path / "nothing", "1?", code=1).stderr


def test_a_text_run_has_nothing_to_explain(tmp_path):
    text_run = saved_run(tmp_path / "text", "cot")
    assert "no latents to explain" in call(text_run.path, "1?", "--explain", code=1).stderr
    assert "writes no latents" in call(text_run.path, "1?", "--latents", "exact:1", code=1).stderr
    assert "latent" not in call(text_run.path, "1?", "--max-new-tokens", 4).stdout


def test_the_questions_are_never_overwritten(run, questions):
    before = questions.read_bytes()
    result = call(run.path, "--input", questions, "--output", questions, code=1)
    assert "is what is read, and would be lost" in result.output and questions.read_bytes() == before


SHARED = """
from mixlm.generation.explain import LatentReader
from pipelines.generate import main
main()
"""


def test_two_processes_share_a_file_of_questions(run, questions, tmp_path, warm):
    options = ["--latents", "exact:2", "--max-new-tokens", "8"]
    outs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    call(run.path, "--input", questions, "--output", outs[0], *options)
    arguments = [str(run.path), "--input", str(questions), "--output", str(outs[1]), *options]
    done = launch(warm, tmp_path, SHARED, arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count(f"wrote {outs[1]}: 4 answers") == 1
    assert lines_of(outs[1]) == lines_of(outs[0])


def test_several_processes_need_files(run, questions, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for arguments in (["1?"], ["--input", questions]):
        assert "give --input FILE and --output FILE" in call(run.path, *arguments, code=1).stderr
