"""Whatever a line holds, it is a sample that can be tokenised and stored, or one line that names it."""

import pytest

from mixlm.data.reading import open_raw
from mixlm.data.samples import Sample, read_question, try_sample
from mixlm.data.tables import in_memory, row_table
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_prompt, tokenize_samples
from mixlm.data.writing import convert
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer
from tests.malformed_rows import ROWS, malformed_lines


LINES = 600
TOKENIZER = build_tokenizer(["2 + 2?"], 300)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(b"\n".join(malformed_lines(LINES, seed=0)))
    return path


def test_every_line_is_a_sample_or_an_error_of_one_line_that_names_it(source):
    found = [(where, try_sample(row, where, skip_bad_rows=True)) for where, row in open_raw(source)]
    errors = [(where, str(error)) for where, error in found if isinstance(error, InputError)]
    samples = [sample for _, sample in found if isinstance(sample, Sample)]
    assert min(len(errors), len(samples)) > LINES // 5
    for where, error in errors:
        assert error.startswith(f"{where}: ") and "\n" not in error and error.encode()
    for sample in samples:
        assert sample.question.strip() and sample.answer.strip() and all(map(str.strip, sample.steps))


def test_what_is_a_sample_can_be_tokenised_and_stored(source):
    rows = (try_sample(row, where, skip_bad_rows=True) for where, row in open_raw(source))
    samples = [sample for sample in rows if isinstance(sample, Sample) and not sample.needs_chat]
    tokenized = tokenize_samples(TOKENIZER, Template(), samples)
    assert in_memory(row_table(tokenized))["answer"] == [sample.answer for sample in samples]


def test_what_is_a_question_can_be_asked(source):
    asked = 0
    for where, row in open_raw(source):
        try:
            question = read_question(row, where) if isinstance(row, dict) else None
        except InputError as error:
            assert str(error).startswith(where)
            continue
        if question and not question.needs_chat:
            asked += bool(tokenize_prompt(TOKENIZER, Template(), question))
    assert asked > LINES // 5


def test_conversion_leaves_out_what_is_malformed_and_counts_it(tmp_path):
    path, out = tmp_path / "rows.jsonl", tmp_path / "plain.jsonl"
    path.write_bytes(b"\n".join(malformed_lines(100, seed=1)))
    done = convert(str(path), out, skip_bad_rows=True)
    assert done.skipped and done.rows == len(out.read_text().splitlines())
    assert done.rows + done.skipped == len([*open_raw(path)])
    again = convert(str(out), tmp_path / "again.jsonl")
    assert again == (done.rows, 0, {}) and (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()


def test_the_rows_before_they_are_changed_are_all_well():
    assert all(isinstance(try_sample(row, "row", skip_bad_rows=False), Sample) for row in ROWS)
