import json
import re
from collections import Counter
from itertools import islice

import pytest

from mixlm.data.samples import to_sample
from mixlm.errors import InputError
from mixlm.tasks.splits import SPLITS, split_of
from mixlm.tasks.word_problems import task
from mixlm.tasks.word_problems.words import CLAUSES, NAMES, PARTS, SENTENCES, THINGS, TIMES, WORDINGS
from tests.mixlm.tasks.generating import generator
from tests.mixlm.tasks.word_problems.word_problem_reading import SUM, apply, read_question, read_step


generate = generator(task)


@pytest.fixture(scope="module")
def rows():
    return list(generate(2000, seed=1))


def test_question_and_steps_read_as_text_tell_the_same_story_and_lead_to_the_answer(rows):
    for row in rows:
        (first, second, *facts), asked = read_question(row["question"])
        start, result = {first.a: first.number, second.a: second.number}, first.number
        told, found = dict(start), dict(start)
        for fact, step in zip(facts, row["steps"], strict=True):
            step_fact, (left, _, _, after) = read_step(step)
            assert left == result, "a step goes on from the result of the step before"
            whose = apply(fact, told)
            assert apply(step_fact, found) and found == told
            assert after in [told[who] for who in whose]
            result = after
        assert row["answer"] == str(result) == str(told[asked])


def test_every_sum_is_within_the_numbers_and_every_operation_is_common(rows):
    sums = [SUM.search(step) for row in rows for step in row["steps"]]
    assert {2 <= int(number) <= 100 for sum_ in sums for number in sum_.group(1, 3, 4)} == {True}
    signs = Counter(sum_[2] for sum_ in sums)
    assert min(signs.values()) > 0.1 * len(sums) and signs["*"] + signs["/"] > 0.3 * len(sums)


def test_steps_are_two_to_eight_and_no_answer_is_frequent(rows):
    steps = Counter(len(row["steps"]) for row in rows)
    assert sorted(steps) == [*range(2, 9)] and min(steps.values()) > 200
    answers = Counter(row["answer"] for row in rows)
    assert max(answers.values()) < 0.03 * len(rows) and len(answers) > 90


@pytest.mark.parametrize(
    ("options", "steps", "largest"),
    [
        ({"min_operations": 1, "max_operations": 1, "largest": 20}, {1}, 20),
        ({"min_operations": 3, "max_operations": 4, "largest": 1000}, {3, 4}, 1000),
        ({"min_operations": 42, "max_operations": 42}, {42}, 100),
    ],
)
def test_options_bound_steps_and_numbers(options, steps, largest):
    rows = list(generate(200, **options))
    assert {len(row["steps"]) for row in rows} == steps
    numbers = [
        int(number) for row in rows for number in re.findall(r"\d+", " ".join([row["question"], *row["steps"]]))
    ]
    assert largest / 2 < max(numbers) <= largest


def test_the_language_is_rich_enough_and_has_no_word_twice():
    assert len({*THINGS}) == len(THINGS) >= 30 and len({*NAMES}) == len(NAMES) >= 30
    facts = {"who": "Ada", "other": "Cem", "things": "cups", "number": 3, "times": TIMES[3], "part": PARTS[3]}
    clauses = {clause.format_map(facts) for kind in CLAUSES.values() for clause in kind}
    assert {len(kind) for kind in CLAUSES.values()} == {WORDINGS // len(SENTENCES)}
    assert len(clauses) * len(SENTENCES) == len(CLAUSES) * WORDINGS and WORDINGS >= 12


def form_of(step: str) -> str:
    """A step without what it tells: names, numbers and the sign are gone."""
    step = re.sub(r"\b(twice|\d+ times)\b", "#", SUM.sub("#", step))
    step = re.sub(r"\b(half|an? (third|quarter|\w+th))\b", "#", step)
    step = re.sub(rf"\b({'|'.join(NAMES)})\b", "@", step)
    return re.sub(rf"\b({'|'.join(THINGS)}|\d+)\b", "#", step)


@pytest.mark.parametrize(("wordings", "forms"), [(1, 9), (4, 36), (5, 45), (16, 144)])
def test_so_many_wordings_of_every_kind_are_used_and_questions_stay_the_same(rows, wordings, forms):
    others = list(generate(1000, seed=1, wordings=wordings))
    assert [row["question"] for row in others] == [row["question"] for row in rows[:1000]]
    assert len({form_of(step) for row in others for step in row["steps"]}) == forms
    for row, other in zip(rows, others, strict=False):
        assert [SUM.search(step)[0] for step in row["steps"]] == [SUM.search(step)[0] for step in other["steps"]]


def test_a_terse_step_is_the_result_of_the_full_one(rows):
    for full, row in zip(rows, generate(200, seed=1, trace="terse"), strict=False):
        assert (row["question"], row["answer"]) == (full["question"], full["answer"])
        assert row["steps"] == [SUM.search(step)[4] for step in full["steps"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_operations": 0}, "--min-operations 0: give a number from 1 to 42"),
        ({"max_operations": 1}, "--max-operations 1: give a number from 2 to 42"),
        ({"wordings": 0}, "--wordings 0: give a number from 1 to 16"),
        ({"wordings": 17}, "--wordings 17: give a number from 1 to 16"),
        ({"largest": 19}, "--largest 19: give a number from 20 to 1000000"),
    ],
)
def test_options_out_of_bounds_are_named(options, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        task.Options(**options)


def test_same_seed_same_rows_another_seed_others(rows):
    assert list(generate(40, seed=1)) == rows[:40]
    assert list(islice(generate(400, seed=2), 40)) == list(generate(40, seed=2)) != rows[:40]


def test_rows_are_those_of_the_page():
    row = next(generate(1, seed=0, min_operations=3, max_operations=3))
    page = re.search(r"::\n\n(.*?)\n\n", task.__doc__, re.DOTALL)[1]
    assert json.loads(re.sub(r"\s+", " ", page)) == row
    sample = to_sample(row)
    assert (sample.question, list(sample.steps), sample.answer) == (row["question"], row["steps"], row["answer"])


def test_no_question_is_in_two_splits_whatever_the_seed_and_none_twice_in_one(rows):
    questions = {"train": [row["question"] for row in rows]}
    for seed, split in enumerate(SPLITS[1:]):
        questions[split] = [row["question"] for row in generate(100, split, seed, min_operations=1)]
    assert sum(map(len, questions.values())) == len({*questions["train"], *questions["valid"], *questions["test"]})
    for split, texts in questions.items():
        assert {*map(split_of, texts)} == {split}
