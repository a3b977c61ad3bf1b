import json
import re
from itertools import islice

import pytest

from mixlm.errors import InputError
from mixlm.tasks import multiplication
from mixlm.tasks.splits import SPLITS
from tests.mixlm.tasks.generating import generator


generate = generator(multiplication)
QUESTION = re.compile(r"What is (\d+) \* (\d+)\?")
STEP = re.compile(r"(\d+) \+ (\d) \* (\d) = (\d+)(?: , write (\d) , carry (\d+))?")


def numbers(row: dict) -> tuple[int, int]:
    """The two numbers of a question, spaced or not."""
    first, second = QUESTION.fullmatch(unspaced(row["question"])).groups()
    return int(first), int(second)


def unspaced(text: str) -> str:
    """The text with the digits of each number together."""
    return re.sub(r"(?<=\d) (?=\d)", "", text)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (3, 3), (2, 4), (5, 1)])
def test_steps_replayed_from_their_text_write_the_answer_and_use_every_product_once(first, second):
    for row in generate(40, first=first, second=second, spaced=False):
        left, right = numbers(row)
        assert (len(str(left)), len(str(right)), row["answer"]) == (first, second, str(left * right))
        total, written, columns = 0, "", [[]]
        for step in row["steps"]:
            before, one, other, after, digit, carry = STEP.fullmatch(step).groups()
            assert int(before) == total, "a step goes on from the one before"
            total += int(one) * int(other)
            assert int(after) == total
            columns[-1].append((one, other))
            if digit:
                assert (int(carry), int(digit)) == divmod(total, 10)
                written, total = digit + written, int(carry)
                columns.append([])
        assert (str(total) if total else "") + written == row["answer"]
        assert columns.pop() == []
        for place, column in enumerate(columns):
            products = [
                (a, b) for i, a in enumerate(str(left)[::-1]) for j, b in enumerate(str(right)[::-1]) if i + j == place
            ]
            assert sorted(column) == sorted(products)


def test_what_a_step_leaves_is_small_whatever_the_numbers():
    totals = [int(total) for total in multiplication.multiply(999, 999, "terse")]
    assert totals == [81, 89, 170, 98, 179, 260, 107, 188, 99]  # no digits are larger


def test_a_terse_step_is_the_result_of_the_full_one():
    for full, row in zip(generate(30), generate(30, trace="terse"), strict=True):
        assert (row["question"], row["answer"]) == (full["question"], full["answer"])
        assert [unspaced(step) for step in row["steps"]] == [STEP.match(unspaced(step))[4] for step in full["steps"]]


def test_spaces_are_all_that_spaced_changes_and_no_two_digits_are_left_together():
    for spaced, row in zip(generate(30), generate(30, spaced=False), strict=True):
        texts = [spaced["question"], *spaced["steps"], spaced["answer"]]
        assert [unspaced(text) for text in texts] == [row["question"], *row["steps"], row["answer"]]
        assert not any(re.search(r"\d\d", text) for text in texts)


def test_rows_are_those_of_the_page():
    page = json.loads(re.sub(r"\s+", " ", re.search(r"::\n\n(.*?)\n\n", multiplication.__doc__, re.DOTALL)[1]))
    assert page in generate(6000, first=2, second=2)


def test_same_seed_same_rows_another_seed_others():
    assert list(generate(40, seed=3)) == list(islice(generate(400, seed=3), 40)) != list(generate(40, seed=4))


def test_no_two_numbers_are_in_two_splits_in_either_order_or_spacing_and_none_twice_in_one():
    pairs = {}
    for seed, split in enumerate(SPLITS):
        rows = [numbers(row) for row in generate(200, split, seed, first=2, second=2, spaced=bool(seed))]
        assert len({*rows}) == 200
        pairs[split] = {tuple(sorted(pair)) for pair in rows}
    assert not pairs["train"] & pairs["valid"] | pairs["train"] & pairs["test"] | pairs["valid"] & pairs["test"]


def test_splits_together_hold_every_question_once():
    found = []
    for split in SPLITS:
        with pytest.raises(InputError, match=f"--rows 99: split '{split}' has .* give more --first"):
            for row in generate(99, split, first=1, second=1):
                found.append(numbers(row))
    assert sorted(found) == [(first, second) for first in range(1, 10) for second in range(1, 10)]


@pytest.mark.parametrize("option", [{"first": 0}, {"second": 10}])
def test_options_out_of_bounds_are_named(option):
    ((name, value),) = option.items()
    with pytest.raises(InputError, match=f"^--{name} {value}: give a number from 1 to 9$"):
        multiplication.Options(**option)
