import json
from functools import partial

import pytest

from pipelines.evaluate import main
from tests.calling import call_command
from tests.tiny_runs import saved_run, write_encoded


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def encoded(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "encoded"
    write_encoded(folder, run.tokenizer(), train=2, valid=3)
    return folder


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
