import json
from pathlib import Path

import pytest

from mixlm.data.template import Template
from mixlm.encoding.manifest import read_manifest, write_manifest
from mixlm.errors import InputError
from mixlm.evaluation.inputs import open_rows, tell_unread
from mixlm.generation.engine import Engine
from mixlm.model.special_tokens import special_ids
from mixlm.model.tokenizers import tokenizer_fingerprint
from mixlm.run import Run
from tests.tiny_runs import byte_tokenizer, tiny_run, write_encoded_for


TOKENIZER = byte_tokenizer()


def make_run(**changes) -> Run:
    run = tiny_run(ids=special_ids(TOKENIZER))
    run.fingerprint = tokenizer_fingerprint(TOKENIZER)
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def opened(run: Run) -> Engine:
    return Engine(run, tokenizer=TOKENIZER)


def raw_file(path: Path, count: int = 3) -> str:
    rows = [{"question": f"{i} + 1?", "steps": [f"{i} + 1 = {i + 1}"], "answer": str(i + 1)} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_an_encoded_dataset_gives_its_valid_rows_with_codes(tmp_path):
    write_encoded_for(tmp_path, TOKENIZER, train=4, valid=3)
    rows = open_rows(str(tmp_path), opened(make_run()))
    assert [row["row"] for row in rows] == [0, 1, 2] and all("codes" in row for row in rows)
    assert len(open_rows(str(tmp_path), opened(make_run()), split="train")) == 4
    assert [row["row"] for row in open_rows(str(tmp_path), opened(make_run()), limit=2)] == [0, 1]
    assert len(open_rows(str(tmp_path), opened(make_run()), limit=99)) == 3


def test_a_raw_file_is_rendered_by_the_runs_template(tmp_path):
    source = raw_file(tmp_path / "rows.jsonl")
    run = make_run(template=Template(prompt="Q: {question} A:", solution=" = {answer}"))
    rows = open_rows(source, opened(run), limit=2)
    assert [TOKENIZER.decode(row["prompt_ids"]) for row in rows] == ["Q: 0 + 1? A:", "Q: 1 + 1? A:"]
    assert [TOKENIZER.decode(row["solution_ids"]) for row in rows] == [" = 1<|endoftext|>", " = 2<|endoftext|>"]
    assert not any("codes" in row for row in rows)
    assert open_rows(source, opened(run), "train", limit=2) == rows  # the only part that a file has


def test_answers_of_a_raw_file_are_found_as_those_that_the_run_learned_from(tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps({"question": "?", "response": "a</think>First 3, then 4."}) + "\n")

    def answers(run: Run, pattern: str | None = None) -> list[str]:
        return [row["answer"] for row in open_rows(source, opened(run), answer_pattern=pattern)]

    assert answers(make_run()) == ["First 3, then 4."]
    assert answers(make_run(answer_pattern=r"\d")) == ["4"]
    assert answers(make_run(answer_pattern=r"\d"), r"First (\d)") == ["3"]
    write_encoded_for(tmp_path, TOKENIZER, train=4, valid=3)
    with pytest.raises(InputError, match="^--answer-pattern: .* is encoded"):
        open_rows(tmp_path, opened(make_run()), answer_pattern="4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "another"}, "encoded with another tokenizer"),
        ({"template": Template(separator=" ")}, "rendered by another template"),
        ({"template": Template(date="2024-07-06")}, "rendered on another date than that of run"),
        ({"align": "step"}, "its align is fixed, that of run step"),
        ({"chunk_length": 4}, "its chunk length is 2, that of run 4"),
        ({"codebook_size": 9}, "its codebook size is 5, that of run 9"),
    ],
)
def test_data_of_another_run_is_refused(tmp_path, changes, message):
    write_encoded_for(tmp_path, TOKENIZER, train=1, valid=1)
    with pytest.raises(InputError, match=message):
        open_rows(str(tmp_path), opened(make_run(**changes)))


def test_a_text_run_does_not_mind_codes(tmp_path):
    write_encoded_for(tmp_path, TOKENIZER, train=1, valid=1)
    run = make_run(method_name="cot", chunk_length=0, compression_rate=0, codebook_size=0)
    assert len(open_rows(str(tmp_path), opened(run))) == 1


def test_what_is_not_there_is_named(tmp_path):
    write_encoded_for(tmp_path / "encoded", TOKENIZER, train=1, valid=0)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for source, split, message in [
        (tmp_path / "encoded", None, "has no valid rows; give --split train"),
        (tmp_path / "encoded", "test", "--split test: an encoded dataset has train and valid"),
        (raw_file(tmp_path / "rows.jsonl"), "tset", "--split tset: the file .*rows.jsonl has no parts"),
        (raw_file(tmp_path / "rows.jsonl"), "valid", "--split valid: the file .*rows.jsonl has no parts"),
        (tmp_path / "missing.jsonl", None, "no such file"),
        (empty, None, "holds no rows"),
    ]:
        with pytest.raises(InputError, match=message):
            open_rows(str(source), opened(make_run()), split)


def test_rows_tell_the_check_and_else_the_run_does(tmp_path):
    plain, marked = raw_file(tmp_path / "plain.jsonl"), tmp_path / "marked.jsonl"
    marked.write_text(json.dumps({"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}) + "\n")
    run = make_run()

    def own_check(source, run, limit=None):
        rows = open_rows(str(source), opened(run), limit=limit)
        return rows.check, rows.why

    assert own_check(plain, run) == ("exact", f"as {plain} means it")
    assert own_check(marked, run) == ("number", f"as {marked} means it")
    assert own_check(plain, make_run(check="math")) == ("math", "as run learned to answer")
    assert own_check(marked, make_run(check="math"))[0] == "number"
    marked.write_text(marked.read_text() + json.dumps({"question": "no answer"}) + "\n")
    assert own_check(marked, run, limit=1)[0] == "number"
    assert own_check(plain, make_run(check="maze"))[0] == "exact"
    write_encoded_for(tmp_path / "encoded", TOKENIZER, train=1, valid=1)
    assert own_check(tmp_path / "encoded", run)[0] == "exact"
    write_manifest(tmp_path / "encoded", {**read_manifest(tmp_path / "encoded"), "check": "maze"})
    assert own_check(tmp_path / "encoded", run)[0] == "maze"


def test_right_answers_that_a_check_cannot_read_are_counted_and_one_is_named(tmp_path):
    source = tmp_path / "rows.jsonl"
    rows = [{"question": "?", "steps": [], "answer": answer} for answer in ("3", "3 or 4", "some")]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    engine, said = opened(make_run()), []
    rows = open_rows(source, engine)
    tell_unread(rows, engine, "exact", said.append)
    tell_unread(rows[:1], engine, "number", said.append)
    assert said == []
    tell_unread(rows, engine, "number", said.append)
    told = "warning: --check number cannot read 2 of 3 right answers, such as '3 or 4' in row 1; "
    assert said == [told + "there only the same words are right"]
