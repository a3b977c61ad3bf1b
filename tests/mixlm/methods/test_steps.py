"""Chunks that end with steps: what every method makes of a row whose codes stand for unequally many tokens."""

from itertools import product

import numpy as np
import pytest

from mixlm.methods import METHODS, Method, Progress, build_method
from mixlm.methods.base import recoded
from tests.mixlm.methods.hand import BO, EO, SPECIAL, P, Row
from vqvae import Cutting


CUTTING = Cutting("step", 4, 4)
STEPS: Row = {
    "row": 0,
    "prompt_ids": P,
    "trace_ids": [*range(11, 20)],
    "step_lengths": [3, 2, 4],
    "solution_ids": [9, 0],
    "codes": [7, 3, 5],
    "code_ends": [3, 5, 9],
}
START = Progress(0, 1)
PREFIXES = [
    [11, 12, 13, 14, 15, 16, 17, 18, 19],
    [BO, 109, EO, 14, 15, 16, 17, 18, 19],
    [BO, 109, 105, EO, 16, 17, 18, 19],
    [BO, 109, 105, 107, EO],
]
NGRAMS = [
    PREFIXES[0],
    [BO, 102, 13, EO, 14, 15, 16, 17, 18, 19],
    [BO, 102, 13, 14, 15, EO, 16, 17, 18, 19],
    [BO, 102, 13, 14, 103, 17, 18, 19, EO],
]
DROPPED = [[*range(first, 20)] for first in (11, 14, 16, 20)]
# The codes of each control: seed 0 draws 6, 5, 4 and the order 5, 7, 3, as of any row of three codes; hashes of
# (11, 12, 13), (14, 15), (16, 17, 18, 19) are read from the method.
CODES = {"random-codes": [6, 5, 4], "shuffled-codes": [5, 7, 3], "matched-pauses": [0, 0, 0]}


def bound(name: str, **options: object) -> Method:
    method = build_method(name, options).bind(SPECIAL, CUTTING)
    return method.restore({"seed": 0, "strings": [[11, 12], [15, 16]]})


def answers(method: Method, row: Row = STEPS) -> list[list[int]]:
    """The answers without the solution, for each number of codes that stand for their text."""
    sequences = [method.sequence_with(row, replaced).ids for replaced in range(4)]
    assert all(ids[:3] == P and ids[-2:] == [9, 0] for ids in sequences)
    return [ids[3:-2] for ids in sequences]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("assorted", PREFIXES),
        ("assorted-all", PREFIXES),
        ("assorted-curriculum", PREFIXES),
        ("frequent-ngrams", NGRAMS),
        ("drop-prefix", DROPPED),
    ],
)
def test_every_prefix_by_hand(name: str, wanted: list[list[int]]) -> None:
    assert answers(bound(name)) == wanted


@pytest.mark.parametrize("name", CODES)
def test_a_control_has_other_codes_for_the_same_texts(name: str) -> None:
    method = bound(name)
    (row,) = recoded([STEPS], method)
    assert row == {**STEPS, "codes": CODES[name]}
    latents = [102 + code for code in CODES[name]]
    spans = [[BO, *latents[:count], EO] if count else [] for count in range(4)]
    assert answers(method, row) == [[*span, *text] for span, text in zip(spans, DROPPED, strict=True)]


def test_a_hash_is_of_the_texts_of_the_steps() -> None:
    method = bound("hashed-codes")
    texts = [[11, 12, 13], [14, 15], [16, 17, 18, 19]]
    assert [text for _, text in method.chunks(STEPS)] == texts
    assert [*method.recode([STEPS])] == [[*map(method.hash, texts)]]
    assert method.hash([11, 12, 13]) != method.hash([11, 12])


def test_strings_are_found_in_what_the_codes_stand_for() -> None:
    part = {**STEPS, "codes": [7, 3], "code_ends": [3, 5]}
    assert bound("frequent-ngrams").chunks(STEPS) == [(0, [11, 12]), (1, [15, 16])]
    assert bound("frequent-ngrams").chunks(part) == [(0, [11, 12])]


@pytest.mark.parametrize(
    ("latent", "answer"),
    [
        ([True, True, True], PREFIXES[3]),
        ([True, False, True], [BO, 109, EO, 14, 15, BO, 107, EO]),
        ([False, True, False], [11, 12, 13, BO, 105, EO, 16, 17, 18, 19]),
        ([False, True, True], [11, 12, 13, BO, 105, 107, EO]),
        ([False, False, False], PREFIXES[0]),
    ],
)
def test_a_coin_is_thrown_for_every_step(latent: list[bool], answer: list[int]) -> None:
    method = bound("assorted-poisson")
    assert method.sequence_of(STEPS, latent).ids == [*P, *answer, 9, 0]
    drawn = {tuple(method.sequence(STEPS, START, np.random.default_rng(seed)).ids) for seed in range(60)}
    assert len(drawn) == 8 and (*P, *answer, 9, 0) in drawn


@pytest.mark.parametrize(
    ("lengths", "found"), [("2", {0}), ("3", {0, 1}), ("4", {0, 1}), ("8", {0, 1, 2}), ("9", {0, 1, 2, 3})]
)
def test_m_is_in_tokens_and_takes_the_steps_that_end_by_then(lengths: str, found: set[int]) -> None:
    method = bound("assorted", mix="paper", lengths=lengths)
    assert {method.draw(STEPS, np.random.default_rng(seed)) for seed in range(120)} == found


def test_the_papers_rule_draws_steps_as_often_as_m_reaches_them() -> None:
    """m is uniform from 0 to 9: below 3 no step, 3 and 4 one, 5 to 8 two, 9 all."""
    method, rng = bound("assorted", mix="paper", lengths="9"), np.random.default_rng(0)
    drawn = np.bincount([method.draw(STEPS, rng) for _ in range(5000)])
    share = np.array([3, 2, 4, 1]) / 10
    assert (abs(drawn - 5000 * share) < 4 * np.sqrt(5000 * share * (1 - share))).all()


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs_codes])
@pytest.mark.parametrize("sizes", [[3, 2, 4], [1, 1, 1, 1, 1], [2], [1, 4, 1], [4, 1, 2, 1, 1], [4, 4], []])
def test_room_is_left_for_whatever_becomes_of_steps(name: str, sizes: list[int]) -> None:
    """No prefix, and no choice of steps, makes a longer sequence; of prefixes the longest is met."""
    row = {**STEPS, "codes": [0] * len(sizes), "code_ends": np.cumsum(sizes).tolist(), "step_lengths": sizes}
    row["trace_ids"] = [*range(11, 11 + sum(sizes))]
    method, text = bound(name), 3 + sum(sizes) + 2
    if name == "assorted-poisson":
        made = [method.sequence_of(row, latent) for latent in product([False, True], repeat=len(sizes))]
    else:
        made = [method.sequence_with(row, replaced) for replaced in range(len(sizes) + 1)]
    longest, room = max(len(sequence.ids) for sequence in made) - text, method.extra_tokens(row)
    assert longest <= room
    assert longest == room or name in ("frequent-ngrams", "drop-prefix", "assorted-poisson")
