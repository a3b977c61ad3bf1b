import numpy as np
import pytest

from mixlm.errors import InputError
from mixlm.methods import METHODS, Grammar, Method, Progress, build_method
from mixlm.tokens import SpecialIds, latent_span


SPECIAL = SpecialIds(eos=0, bo_latent=100, eo_latent=101, first_latent=102, codebook_size=8)
ROW = {
    "row": 0,
    "prompt_ids": [1, 2, 3],
    "trace_ids": [11, 12, 13, 14, 15],
    "solution_ids": [9, 0],
    "step_lengths": [3, 2],
    "codes": [7, 3],
}
START = Progress(0, 10)


def bound(name: str, **options: object) -> Method:
    method = build_method(name, options).bind(SPECIAL, 2)
    method.fit([ROW], seed=0)
    return method


def test_cot_is_the_whole_text() -> None:
    sequence = bound("cot").sequence(ROW, START, np.random.default_rng(0))
    assert sequence.ids == [1, 2, 3, 11, 12, 13, 14, 15, 9, 0]
    assert sequence.labels == [-100, -100, -100, 11, 12, 13, 14, 15, 9, 0]
    assert not any(sequence.thoughts)


def test_sol_only_has_no_trace() -> None:
    sequence = bound("sol-only").sequence(ROW, START, np.random.default_rng(0))
    assert sequence.ids == [1, 2, 3, 9, 0]
    assert sequence.labels == [-100, -100, -100, 9, 0]


@pytest.mark.parametrize(
    ("replaced", "answer"),
    [
        (0, [11, 12, 13, 14, 15, 9, 0]),
        (1, [100, 109, 101, 13, 14, 15, 9, 0]),
        (2, [100, 109, 105, 101, 15, 9, 0]),
    ],
)
def test_assorted_by_hand(replaced: int, answer: list[int]) -> None:
    """Latents, delimiters and text after them are learned; the prompt is not; the tail shorter than a chunk stays."""
    sequence = bound("assorted").sequence_with(ROW, replaced)
    assert sequence.ids == [1, 2, 3, *answer]
    assert sequence.labels == [-100, -100, -100, *answer]


def test_assorted_draws_every_prefix_and_nothing_else() -> None:
    method = bound("assorted", mix="uniform")
    rng = np.random.default_rng(0)
    drawn = {tuple(method.sequence(ROW, START, rng).ids) for _ in range(100)}
    assert drawn == {tuple(method.sequence_with(ROW, replaced).ids) for replaced in range(3)}


def test_random_codes_keep_places_and_lose_content() -> None:
    method = bound("random-codes", mix="uniform")
    sequence = method.sequence_with(ROW, 2)
    codes = method.codes(ROW)
    assert sequence.ids == [1, 2, 3, 100, 102 + codes[0], 102 + codes[1], 101, 15, 9, 0]
    assert method.codes({**ROW, "codes": [0, 0]}) == codes  # the real codes play no part
    assert bound("random-codes").restore({"seed": 0}).codes(ROW) == codes
    assert bound("random-codes").restore({"seed": 1}).codes({**ROW, "codes": [0] * 50}) != method.codes(
        {**ROW, "codes": [0] * 50}
    )


def test_random_codes_are_uniform_and_independent_of_the_real_ones() -> None:
    method = bound("random-codes")
    rows = [{**ROW, "row": row, "codes": [row % 8] * 4} for row in range(2_000)]
    table = np.zeros((8, 8))
    for row in rows:
        for code in method.codes(row):
            table[row["codes"][0], code] += 1
    chi_square = ((table - 125) ** 2 / 125).sum()
    assert chi_square < 100  # 63 degrees of freedom; 100 is beyond the 99.5th percentile


def test_only_latent_methods_need_codes_and_tokens() -> None:
    for name, cls in METHODS.items():
        method = build_method(name, {})
        assert method.tokens(4) == (latent_span(4) if cls.needs_codes else [])
        assert method.grammar() == Grammar("prefix" if cls.needs_codes else "none")
        assert method.prompt((1, 2)) == [1, 2]
        assert cls.name == name


def test_options_as_typed_and_as_saved() -> None:
    typed = build_method("assorted", {"mix": "paper", "lengths": "0,72,128"})
    assert typed.lengths == (0, 72, 128)
    assert build_method("assorted", typed.options()) == typed
    assert build_method("assorted", {**typed.options(), "lengths": [0, 72, 128]}) == typed


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cott", {}, "there is no such method; choose from cot"),
        ("cot", {"mix": "uniform"}, "cot has no such option"),
        ("assorted", {"mix": "sometimes"}, "choose from paper, uniform"),
        ("assorted", {"lengths": "0,many"}, "method option 'lengths'"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_method(name, options)
