import json
import shlex

import pytest
import yaml

from pipelines.export import main
from pipelines.generate import main as generate
from tests.calling import call_command
from tests.tiny_runs import write_encoded_for


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "sums.jsonl"
    rows = [{"question": f"{number} + 1?", "steps": ["s"], "answer": str(number + 1)} for number in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_prompts_have_the_ids_that_generation_prints(run, source, tmp_path):
    call_command(main, "lm-eval", run.path, source, "--out", tmp_path / "tasks")
    exported = [json.loads(line) for line in (tmp_path / "tasks" / "mixlm_run_sums.jsonl").read_text().splitlines()]
    printed = [
        json.loads(line)
        for line in call_command(generate, run.path, "--input", source, "--print-prompt").stdout.split("\n")[:-1]
    ]
    tokenizer = run.tokenizer()
    assert [row["prompt"] for row in exported] == [row["prompt"] for row in printed]
    ids = [tokenizer(row["prompt"], add_special_tokens=False)["input_ids"] for row in exported]
    assert ids == [row["prompt_ids"] for row in printed]
    assert len(ids) == 4


def test_what_is_printed_names_the_files_the_limit_and_the_next_command(run, source, tmp_path):
    shown = call_command(
        main, "lm-eval", run.path, source, "--out", tmp_path / "t", "--limit", 2, "--name", "few"
    ).stdout
    wrote, command = shown.splitlines()
    config = yaml.safe_load((tmp_path / "t" / "few.yaml").read_text())
    limit = config["generation_kwargs"]["max_gen_toks"]
    assert wrote == f"wrote {tmp_path}/t/few.yaml and {tmp_path}/t/few.jsonl: 2 rows, --max-new-tokens {limit}"
    assert config["dataset_kwargs"]["data_files"]["test"] == f"{tmp_path}/t/few.jsonl"
    words = shlex.split(command)
    assert words[0] == "lm_eval"
    assert words[words.index("--tasks") + 1] == config["task"] == "few"
    assert words[words.index("--include_path") + 1] == str(tmp_path / "t")
    assert f"pretrained={run.path}" in words[words.index("--model_args") + 1]


def test_encoded_rows_and_a_limit(run, tmp_path):
    write_encoded_for(tmp_path / "encoded", run.tokenizer(), train=2, valid=3)
    options = ("--out", tmp_path, "--name", "it", "--max-new-tokens", 7)
    for split, rows in (("valid", 3), ("train", 2)):
        assert (
            f"{rows} rows, --max-new-tokens 7"
            in call_command(main, "lm-eval", run.path, tmp_path / "encoded", "--split", split, *options).stdout
        )
        assert len((tmp_path / "it.jsonl").read_text().splitlines()) == rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "rows.jsonl"], "nowhere: no such run folder"),
        (["{run}", "nothing.jsonl"], "nothing.jsonl: no such file"),
        (["{run}", "{source}", "--name", "a b"], "--name a b: give a name"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(run, source, tmp_path, arguments, message):
    arguments = [text.format(run=run.path, source=source) for text in arguments]
    failed = call_command(main, "lm-eval", *arguments, "--out", tmp_path / "out", code=1)
    assert message in failed.stderr and len(failed.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
