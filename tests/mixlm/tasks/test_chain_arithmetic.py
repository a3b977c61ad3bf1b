from itertools import islice

import pytest

from mixlm.errors import InputError
from mixlm.models import build_tokenizer
from mixlm.samples import to_sample
from mixlm.tasks.chain_arithmetic import SPLITS, check, extract_answer, generate, split_of
from mixlm.template import Template
from mixlm.tokenization import tokenize_sample


def running_total(question: str, modulus: int) -> int:
    """The answer, found from the question alone."""
    start, *operations = question.split(" ; ")
    total = int(start.split()[1])
    for operation in operations:
        operator, operand = operation.split()
        total += int(operand) if operator == "+" else -int(operand)
    return total % modulus


@pytest.mark.parametrize(("operations", "modulus"), [(1, 10), (6, 10), (3, 7), (4, 100)])
def test_answer_and_every_step_follow_from_the_question(operations, modulus):
    for row in generate(50, operations=operations, modulus=modulus):
        words = [step.split() for step in row["steps"]]
        assert [len(step) for step in words] == [8] * operations
        done = row["question"].split(" ; ")
        for count, step in enumerate(words, 1):
            assert step[3:5] == done[count].split()
            assert int(step[2]) == running_total(" ; ".join(done[:count]), modulus)
            assert int(step[6]) == running_total(" ; ".join(done[: count + 1]), modulus)
        assert row["answer"] == str(running_total(row["question"], modulus)) == words[-1][6]


def test_same_seed_same_rows_another_seed_others():
    assert list(generate(40, seed=3)) == list(generate(40, seed=3))
    assert list(generate(40, seed=3)) == list(islice(generate(400, seed=3), 40))
    assert list(generate(40, seed=3)) != list(generate(40, seed=4))


def test_rows_are_what_they_were_when_results_were_published():
    row = next(generate(1))
    assert row["question"] == "start 6 ; - 0 ; - 8 ; - 6 ; - 7 ; - 9 ; + 8"
    assert row["steps"][:2] == ["so now 6 - 0 gives 6 .", "so now 6 - 8 gives 8 ."]
    assert row["answer"] == "4"


def test_no_question_is_in_two_splits_whatever_the_seed_and_none_twice_in_one():
    questions = {}
    for seed, split in enumerate(SPLITS):
        rows = [row["question"] for row in generate(100, split, operations=2, seed=seed)]
        assert len(set(rows)) == 100
        assert {split_of(question) for question in rows} == {split}
        questions[split] = set(rows)
    assert not questions["train"] & questions["valid"] | questions["train"] & questions["test"]


def test_splits_together_hold_every_question_once():
    counts = {split: 0 for split in SPLITS}
    for split in SPLITS:
        with pytest.raises(InputError):
            for _ in generate(1000, split, operations=1):
                counts[split] += 1
    assert sum(counts.values()) == 10 * 2 * 10
    assert 140 <= counts["train"] <= 180


def test_more_rows_than_questions_is_an_error_that_names_the_remedy():
    with pytest.raises(InputError, match="--rows 300: split 'train' has 164 different .* more --operations"):
        list(generate(300, operations=1))


def test_a_step_is_the_same_eight_tokens_wherever_it_stands():
    rows = [to_sample(row) for row in generate(1500)]
    template = Template(separator="")
    tokenizer = build_tokenizer("".join(template.render(row)) for row in rows)
    chunks = set()
    for row in rows:
        tokens = tokenize_sample(tokenizer, template, row)
        assert tokens["step_lengths"] == [8] * 6
        chunks |= {tuple(tokens["trace_ids"][start : start + 8]) for start in range(0, 48, 8)}
    assert len(chunks) == 200


def test_answer_is_found_and_checked():
    row = next(generate(1))
    assert extract_answer(" ".join(row["steps"])) == row["answer"]
    assert extract_answer(f"{' '.join(row['steps'])}\n### {row['answer']}") == row["answer"]
    assert extract_answer(" \n") is None
    assert check("4", "4")
    assert not check("4", "5")
    assert not check("4", None)
