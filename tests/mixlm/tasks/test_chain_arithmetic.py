from itertools import islice

import pytest

from mixlm.data.samples import to_sample
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer
from mixlm.tasks import chain_arithmetic
from mixlm.tasks.chain_arithmetic import SPLITS
from mixlm.tasks.splits import split_of
from tests.mixlm.tasks.generating import generator


generate = generator(chain_arithmetic)


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


FILLER = "we keep the total in mind and go on with the next of the operations , which is not hard : so now"


@pytest.mark.parametrize(
    ("words", "filler"),
    [
        (6, ""),
        (7, "now "),
        (8, "so now "),
        (12, "is not hard : so now "),
        (6 + len(FILLER.split()), f"{FILLER} "),
        (8 + 2 * len(FILLER.split()), f"so now {FILLER} {FILLER} "),
    ],
)
def test_more_words_make_a_step_longer_and_tell_nothing_more(words, filler):
    for short, row in zip(generate(30, words=6), generate(30, words=words), strict=True):
        assert (row["question"], row["answer"]) == (short["question"], short["answer"])
        assert row["steps"] == [filler + step for step in short["steps"]]
        assert {len(step.split()) for step in row["steps"]} == {words}
        assert row["steps"][-1].endswith(f" gives {row['answer']} .")


def test_a_terse_step_is_the_result_of_the_full_one():
    for full, row in zip(generate(30, modulus=30), generate(30, modulus=30, trace="terse"), strict=True):
        assert (row["question"], row["answer"]) == (full["question"], full["answer"])
        assert row["steps"] == [step.split()[-2] for step in full["steps"]]


def test_wordings_change_how_steps_are_told_and_nothing_else():
    told = set()
    for plain, row in zip(generate(300, words=6), generate(300, words=6, wordings=8), strict=True):
        assert (row["question"], row["answer"]) == (plain["question"], plain["answer"])
        for full, step in zip(plain["steps"], row["steps"], strict=True):
            before, operator, operand, _, after, _ = full.split()
            words = step.split()
            assert sorted(filter(str.isdigit, words)) == sorted([before, operand, after])
            assert f"{operator} {operand} " in step
            told.add(tuple(word for word in words if word.isalpha()))
    assert len(told) == 8


@pytest.mark.parametrize("option", [{"words": 5}, {"operations": 0}, {"modulus": 1}, {"wordings": 0}])
def test_options_that_are_too_small_are_named(option):
    ((name, value),) = option.items()
    with pytest.raises(InputError, match=f"^--{name} {value}: give a number from {value + 1} to "):
        next(generate(1, **option))


def test_same_seed_same_rows_another_seed_others():
    assert list(generate(40, seed=3)) == list(generate(40, seed=3))
    assert list(generate(40, seed=3)) == list(islice(generate(400, seed=3), 40))
    assert list(generate(40, seed=3)) != list(generate(40, seed=4))


def test_more_wordings_than_there_are_is_an_error_that_names_the_bound():
    with pytest.raises(InputError, match="^--wordings 9: give a number from 1 to 8$"):
        next(generate(1, wordings=9))


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


@pytest.mark.parametrize("words", [8, 13])
def test_a_step_is_as_many_tokens_as_words_and_the_same_wherever_it_stands(words):
    rows = [to_sample(row) for row in generate(1500, words=words)]
    template = Template(separator="")
    tokenizer = build_tokenizer("".join(template.render(row)) for row in rows)
    chunks = set()
    for tokens in tokenize_samples(tokenizer, template, rows):
        assert tokens["step_lengths"] == [words] * 6
        chunks |= {tuple(tokens["trace_ids"][start : start + words]) for start in range(0, 6 * words, words)}
    assert len(chunks) == 200
