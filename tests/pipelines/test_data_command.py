import json

import pytest
from click.testing import CliRunner

from pipelines.cli import main


@pytest.fixture
def mixlm(tmp_path, monkeypatch):
    """A function that runs ``mixlm data`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIXLM_DATA", raising=False)
    return lambda *arguments: CliRunner().invoke(main, ["data", *arguments])


def read(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_generated_file_is_the_same_for_the_same_seed(mixlm, tmp_path):
    result = mixlm("chain-arithmetic", "--rows", "7", "--seed", "5", "--out", "a.jsonl")
    assert (result.exit_code, result.output) == (0, "wrote 7 rows to a.jsonl\n")
    mixlm("chain-arithmetic", "--rows", "7", "--seed", "5", "--out", "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    mixlm("chain-arithmetic", "--rows", "7", "--seed", "6", "--operations", "2", "--out", "b.jsonl")
    assert {len(row["steps"]) for row in read(tmp_path / "b.jsonl")} == {2}


def test_options_come_from_yaml(mixlm, tmp_path):
    (tmp_path / "task.yaml").write_text("rows: 3\noperations: 4\nsplit: valid\n")
    assert mixlm("chain-arithmetic", "--config", "task.yaml", "--out", "a.jsonl").exit_code == 0
    assert [len(row["steps"]) for row in read(tmp_path / "a.jsonl")] == [4, 4, 4]


def test_convert_then_split(mixlm, tmp_path):
    rows = [{"question": f"q{n}", "answer": f"step\n#### {n}"} for n in range(10)]
    (tmp_path / "raw.jsonl").write_text("\n".join(map(json.dumps, rows)))
    written = "answers: 10 after '####'\nwrote 10 rows to rows.jsonl\n"
    assert mixlm("convert", "raw.jsonl", "--out", "rows.jsonl").output == written
    result = mixlm("split", "rows.jsonl", "--train", "t.jsonl", "--valid", "v.jsonl", "--share", "0.3")
    assert result.output == "wrote 7 rows to t.jsonl\nwrote 3 rows to v.jsonl\n"
    assert len(read(tmp_path / "t.jsonl")) == 7


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["gsm8k", "--out", "a.jsonl"], 1, "Set MIXLM_DATA to the folder that holds it, or give the file as --source"),
        (["gsm8k", "--source", "no.jsonl", "--held-out", "no.json", "--out", "a.jsonl"], 1, "no.jsonl: no such file"),
        (["chain-arithmetic", "--rows", "999", "--operations", "1", "--out", "a.jsonl"], 1, "give more --operations"),
        (["chain-arithmetic", "--rows", "0", "--out", "a.jsonl"], 2, "0 is not in the range"),
        (["chain-arithmetic", "--rows", "3", "--out", "no/a.jsonl"], 1, "no/a.jsonl: cannot be written"),
        (["convert", "no.jsonl", "--out", "a.jsonl"], 1, "no.jsonl: no such file"),
    ],
)
def test_mistakes_are_one_line_and_leave_the_output_as_it_was(mixlm, tmp_path, arguments, status, message):
    (tmp_path / "a.jsonl").write_text("precious")
    result = mixlm(*arguments)
    assert result.exit_code == status
    assert message in result.stderr.splitlines()[-1]
    assert result.stdout == ""
    assert (tmp_path / "a.jsonl").read_text() == "precious"


def test_rows_are_limited(data_folder, mixlm, monkeypatch):
    monkeypatch.setenv("MIXLM_DATA", str(data_folder))
    result = mixlm("gsm8k", "--split", "valid", "--rows", "64", "--out", "v.jsonl")
    assert result.output == "wrote 64 rows to v.jsonl\n"
