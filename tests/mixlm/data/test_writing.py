import json
import os

import pytest

from mixlm.data.samples import read_samples
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.data.writing import convert, split, write_rows
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer


def read(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def source(tmp_path):
    """Forty rows, each question twice."""
    path = tmp_path / "rows.jsonl"
    write_rows(path, ({"question": f"q {n // 2}", "steps": ["é"], "answer": str(n)} for n in range(40)))
    return path


def test_rows_are_written_one_on_a_line_and_limited(tmp_path):
    path = tmp_path / "out.jsonl"
    assert write_rows(path, [{"a": "é"}, {"a": 2}, {"a": 3}], limit=2) == 2
    assert path.read_text(encoding="utf-8") == '{"a": "é"}\n{"a": 2}\n'


def test_a_failure_leaves_the_file_as_it_was(tmp_path):
    def failing():
        yield {"a": 1}
        raise InputError("no more")

    path = tmp_path / "out.jsonl"
    path.write_text("precious")
    with pytest.raises(InputError, match="no more"):
        write_rows(path, failing())
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_convert_brings_other_layouts_to_question_steps_answer(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    layouts = [
        {"question": "q", "answer": "one\ntwo\n#### 2"},
        {"query": "q", "response": "one\ntwo\nThe answer is: 2"},
        {"question": "q", "reasoning": "one\ntwo", "answer": "2"},
    ]
    write_rows(source, layouts)
    assert convert(str(source), out) == (3, 0, {"hashes": 1, "said": 1})
    plain = {"question": "q", "steps": ["one", "two"], "answer": "2"}
    assert read(out) == [{**plain, "check": "number"}] * 2 + [plain]  # a number in a text is one; a column is exact
    before = source.read_bytes()
    with pytest.raises(InputError, match=r"in\.jsonl: is what is read, and would be lost"):
        convert(str(source), source)
    assert source.read_bytes() == before
    assert convert(str(out), source) == (3, 0, {}) and read(source) == read(out)


def test_what_convert_writes_has_the_steps_of_what_it_read(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_rows(source, [{"question": "q", "reasoning": "She had 8. She lost 3. So 5 are left.", "answer": "5"}])
    convert(str(source), out)
    tokenizer = build_tokenizer(["She had 8. She lost 3. So 5 are left."], vocab_size=280)
    lengths = [
        [row["step_lengths"] for row in tokenize_samples(tokenizer, Template(), [*read_samples(str(file))])]
        for file in (source, out)
    ]
    assert lengths[0] == lengths[1] and len(lengths[0][0]) == 3


def test_convert_leaves_chats_that_only_a_template_renders_chats(tmp_path):
    source, out, again = (tmp_path / f"{name}.jsonl" for name in ("in", "out", "again"))
    user, first = (
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "5", "reasoning_content": "a"},
    )
    done = {"role": "assistant", "content": "<think>\ntwo\nand two\n</think>\nIt is \\boxed{4}."}
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    called = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "4"}]
    rows = [
        {"messages": [{"role": "system", "content": "s"}, user, first, {"role": "user", "content": "Sure?"}, done]},
        {"messages": [user, *called, done], "tools": [{"type": "function", "function": {"name": "add"}}]},
        {"messages": [user, done], "chat_template_kwargs": {"instructions": "In French."}, "id": 7},
        {"messages": [user, first, user, {"role": "assistant", "content": "4"}], "steps": ["a\nb", "c"]},
        {"messages": [user, first, user, {"role": "assistant", "content": "#### 4"}]},
    ]
    write_rows(source, rows)
    assert convert(str(source), out).rows == len(rows)
    for asked, made in zip(read_samples(str(source)), read_samples(str(out)), strict=True):
        for name in ("question", "messages", "steps", "answer", "check", "needs_chat"):
            assert getattr(made, name) == getattr(asked, name)
        for name in ("tools", "chat_template_kwargs"):
            assert made.columns.get(name) == asked.columns.get(name)
    last = {"role": "assistant", "content": "4", "reasoning_content": "two\nand two"}
    assert read(out)[0] == {"messages": [*rows[0]["messages"][:-1], last], "answer": "4", "check": "math"}
    assert convert(str(out), again).rows == len(rows) and again.read_bytes() == out.read_bytes()


def test_split_keeps_order_and_all_rows_and_puts_a_question_in_one_file(source, tmp_path):
    train, valid = tmp_path / "train.jsonl", tmp_path / "valid.jsonl"
    assert split(str(source), train, valid, share=0.25, seed=1) == (30, 10)
    kept, drawn = read(train), read(valid)
    assert sorted(kept + drawn, key=lambda row: int(row["answer"])) == read(source)
    assert not {row["question"] for row in kept} & {row["question"] for row in drawn}
    assert kept == sorted(kept, key=lambda row: int(row["answer"]))
    again = tmp_path / "again.jsonl"
    split(str(source), train, again, share=0.25, seed=1)
    assert read(again) == drawn
    split(str(source), train, again, share=0.25, seed=2)
    assert read(again) != drawn


def test_nothing_is_written_into_a_folder_that_is_read(tmp_path):
    """The next time it would be read with the rest: as a split of its own, or rows twice."""
    folder = tmp_path / "rows"
    folder.mkdir()
    write_rows(folder / "data.jsonl", [{"question": f"{n}?", "steps": [], "answer": "1"} for n in range(4)])
    before = (folder / "data.jsonl").read_bytes()
    for name in ("data.jsonl", "train.jsonl", "below/train.jsonl"):
        with pytest.raises(InputError, match="lies in .*rows, and would be read with it the next time"):
            convert(str(folder), folder / name)
        with pytest.raises(InputError, match="lies in .*rows, and would be read with it the next time"):
            split(f"{folder}@train", folder / name, tmp_path / "valid.jsonl")
    assert [*folder.iterdir()] == [folder / "data.jsonl"] and (folder / "data.jsonl").read_bytes() == before
    for foreign in ('{"version": 1}', "[1]", "no JSON"):
        (folder / "manifest.json").write_text(foreign)
        with pytest.raises(InputError, match="lies in .*rows, and would be read with it the next time"):
            split(str(folder), folder / "data.jsonl", tmp_path / "valid.jsonl")
    (folder / "manifest.json").unlink()
    assert convert(str(folder), tmp_path / "rows.jsonl").rows == 4


def test_a_disk_that_is_full_leaves_both_files_of_a_split_as_they_were(source, tmp_path, monkeypatch):
    train, valid = tmp_path / "t.jsonl", tmp_path / "v.jsonl"
    split(str(source), train, valid, seed=1)
    before, synced = (train.read_bytes(), valid.read_bytes()), []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:  # a file system over the network tells it here
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        split(str(source), train, valid, seed=2)
    assert (train.read_bytes(), valid.read_bytes()) == before


@pytest.mark.parametrize(("share", "drawn"), [(0.0, 2), (1.0, 38)])
def test_split_leaves_neither_file_empty(source, tmp_path, share, drawn):
    assert split(str(source), tmp_path / "t.jsonl", tmp_path / "v.jsonl", share) == (40 - drawn, drawn)


def test_split_into_one_and_the_same_file_or_of_one_question_is_an_error(source, tmp_path):
    out = tmp_path / "t.jsonl"
    with pytest.raises(InputError, match="give two files"):
        split(str(source), out, tmp_path / "." / "t.jsonl")
    before = source.read_bytes()
    for files in ((source, out), (out, source)):
        with pytest.raises(InputError, match="is what is read"):
            split(str(source), *files)
    assert source.read_bytes() == before
    write_rows(source, [{"question": "q", "steps": [], "answer": "1"}])
    with pytest.raises(InputError, match="needs two at least"):
        split(str(source), out, tmp_path / "v.jsonl")
    assert not out.exists()
