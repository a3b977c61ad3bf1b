import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from mixlm.errors import InputError
from mixlm.generation.answers import TokenCounts
from mixlm.methods import Progress, build_method
from mixlm.methods.curriculum import Curriculum
from mixlm.methods.mixing import PAPER_LENGTHS, row_generator
from tests.coded_rows import coded, fixed
from tests.mixlm.methods.hand import BO, EO, ROW, SPECIAL, P
from tests.mixlm.methods.method_tests import MethodTests, text


START = Progress(0, 10)
ALL = (BO, 109, 105, 107, EO, 17, 9, 0)
LONG = coded({**ROW, "trace_ids": list(range(11, 20))}, [7, 3, 5, 0])  # nine tokens, four codes of two


class TestAssorted(MethodTests):
    """The first m tokens are latents within delimiters; the rest is text. Seeds 0, 6, 11 draw m of 6, 2, 0."""

    name = "assorted"
    options = {"mix": "uniform"}
    training_steps = 160
    examples = [
        text(11, 12, 13, 14, 15, 16, 17, 9, 0, seed=11),
        text(BO, 109, EO, 13, 14, 15, 16, 17, 9, 0, seed=6),
        text(*ALL, seed=0),
        text(*ALL, seed=0, step=1000),
    ]
    counts, paper_tokens = TokenCounts(text=3, latent=3, delimiter=2), 8

    @pytest.mark.parametrize(
        ("replaced", "answer"),
        [
            (0, [11, 12, 13, 14, 15, 16, 17, 9, 0]),
            (1, [BO, 109, EO, 13, 14, 15, 16, 17, 9, 0]),
            (2, [BO, 109, 105, EO, 15, 16, 17, 9, 0]),
            (3, [BO, 109, 105, 107, EO, 17, 9, 0]),
        ],
    )
    def test_every_prefix_by_hand(self, replaced: int, answer: list[int]) -> None:
        """Delimiters, latents and text are learned; m = 0 has no delimiters; the tail without a code stays."""
        sequence = self.method().sequence_with(ROW, replaced)
        assert sequence.ids == [*P, *answer] and sequence.labels == [-100, -100, -100, *answer]

    def test_uniform_draws_every_prefix_equally_often(self) -> None:
        method, rng = self.method(), np.random.default_rng(0)
        drawn = Counter(tuple(method.sequence(ROW, START, rng).ids) for _ in range(4000))
        assert set(drawn) == {tuple(method.sequence_with(ROW, replaced).ids) for replaced in range(4)}
        assert all(abs(count - 1000) < 4 * np.sqrt(4000 * 3 / 16) for count in drawn.values())

    def test_the_papers_rule_draws_both_levels_for_every_sample(self) -> None:
        """M = {0, 4}: m = 0 with 1/2 + 1/2 * 1/3, m = 2 and m = 4 with 1/6 each."""
        method, rng = self.method(mix="paper", lengths="0,4"), np.random.default_rng(0)
        drawn = Counter(method.draw(ROW, rng) for _ in range(6000))
        for replaced, share in {0: 2 / 3, 1: 1 / 6, 2: 1 / 6}.items():
            assert abs(drawn[replaced] - 6000 * share) < 4 * np.sqrt(6000 * share * (1 - share))
        assert set(drawn) == {0, 1, 2}

    def test_the_trace_caps_what_the_papers_rule_draws(self) -> None:
        method, rng = self.method(mix="paper"), np.random.default_rng(0)
        assert {method.draw(ROW, rng) for _ in range(500)} == {0, 1, 2, 3}
        assert {method.draw(coded(ROW, []), rng) for _ in range(50)} == {0}

    def test_lengths_that_nobody_gave_are_scaled_to_the_traces_that_are_learned(self) -> None:
        """Nine of ten traces have 16 tokens: the longest of the paper's set, 256, becomes 16, the others likewise."""
        rows = [{**ROW, "trace_ids": list(range(size))} for size in [*[16] * 19, 4000]]
        method = self.method(mix="paper")
        state = method.fit(rows, 0)
        assert state == {"lengths": [0, 4, 8, 10, 12, 14, 16]} and method.lengths == ()
        again = self.method(mix="paper").restore(json.loads(json.dumps(state)))
        seeds = [np.random.default_rng(seed) for seed in range(50)]
        wanted = self.method(mix="paper", lengths="0,4,8,10,12,14,16")
        same = [np.random.default_rng(seed) for seed in range(50)]
        assert [again.draw(ROW, rng) for rng in seeds] == [wanted.draw(ROW, rng) for rng in same]

    @pytest.mark.parametrize("options", [{"mix": "paper", "lengths": "0,4"}, {"mix": "weighted"}])
    def test_lengths_that_were_given_or_are_not_needed_stay(self, options: dict[str, str]) -> None:
        method = self.method(**options)
        assert method.fit([ROW], 0) == {} and method.drawn_lengths == (method.lengths or PAPER_LENGTHS)

    @pytest.mark.parametrize(("weights", "same"), [("0,1,0", "assorted-all"), ("1,0,0", "cot")])
    @pytest.mark.parametrize("codes", [[7, 3, 5], [7], []])
    def test_weights_of_all_and_of_nothing_are_other_methods(self, weights: str, same: str, codes: list[int]) -> None:
        row, other = coded(ROW, codes), build_method(same, {}).bind(SPECIAL, fixed(2))
        method = self.method(mix="weighted", weights=weights)
        for seed in range(20):
            drawn = method.sequence(row, START, np.random.default_rng(seed))
            assert drawn == other.sequence(row, START, np.random.default_rng(seed))

    def test_weights_decide_which_prefixes_are_drawn(self) -> None:
        method = self.method(mix="weighted", weights=[0, 1, 2])
        drawn = {method.draw(ROW, row_generator(0, 0, row)) for row in range(100)}
        assert drawn == {1, 2, 3}


class TestAssortedAll(MethodTests):
    """Every chunk is latent from the first step on, whatever the seed."""

    name = "assorted-all"
    examples = [text(*ALL), text(*ALL, seed=1), text(*ALL, step=1000)]
    counts, paper_tokens = TokenCounts(text=3, latent=3, delimiter=2), 8

    def test_a_trace_without_codes_is_text(self) -> None:
        sequence = self.method().sequence(coded(ROW, []), START, np.random.default_rng(0))
        assert sequence.ids == [*P, *ROW["trace_ids"], 9, 0]


class TestAssortedCurriculum(MethodTests):
    """Stage s of 3 replaces the first s of three codes; a stage has two epochs, of one step each."""

    name = "assorted-curriculum"
    options = {"stages": 3, "epochs_per_stage": 2.0}
    steps_per_epoch = 1
    schedule = [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (1000, 3)]
    examples = [
        text(11, 12, 13, 14, 15, 16, 17, 9, 0, step=1),
        text(BO, 109, EO, 13, 14, 15, 16, 17, 9, 0, step=2),
        text(BO, 109, 105, EO, 15, 16, 17, 9, 0, step=4),
        text(*ALL, step=6),
        text(*ALL, step=1000, seed=1),
    ]
    counts, paper_tokens = TokenCounts(text=3, latent=3, delimiter=2), 8

    @pytest.mark.parametrize(("codes", "replaced"), [(3, [0, 0, 0, 1, 1, 1, 2, 2, 3]), (1, [0] * 8 + [1])])
    def test_a_share_is_rounded_down(self, codes: int, replaced: list[int]) -> None:
        """Stage s of 8 replaces codes * s // 8 codes: 3 * 3 / 8 is one."""
        method = self.method(stages=8, epochs_per_stage=0.5)
        row = coded(ROW, ROW["codes"][:codes])
        for stage, count in enumerate(replaced):
            ids = method.sequence(row, Progress(5 * stage, 10), np.random.default_rng(0)).ids
            assert ids == method.sequence_with(row, count).ids

    def test_the_optimizer_goes_on(self) -> None:
        assert {self.method().optimizer_period(Progress(step, 1)) for step in range(9)} == {0}


class TestAssortedPoisson(MethodTests):
    """A coin for each chunk. Seeds 7, 1, 0, 8 draw no chunk; the third; the second and third; the first and third."""

    name = "assorted-poisson"
    examples = [
        text(11, 12, 13, 14, 15, 16, 17, 9, 0, seed=7),
        text(11, 12, 13, 14, BO, 107, EO, 17, 9, 0, seed=1),
        text(11, 12, BO, 105, 107, EO, 17, 9, 0, seed=0),
        text(BO, 109, EO, 13, 14, BO, 107, EO, 17, 9, 0, seed=8),
    ]
    counts, paper_tokens = TokenCounts(text=5, latent=2, delimiter=4), 11
    training_steps = 250

    @pytest.mark.parametrize(
        ("latent", "answer"),
        [
            ([True, True, True, True], [BO, 109, 105, 107, 102, EO, 19]),
            ([True, True, False, True], [BO, 109, 105, EO, 15, 16, BO, 102, EO, 19]),
            ([False, True, False, True], [11, 12, BO, 105, EO, 15, 16, BO, 102, EO, 19]),
            ([False, False, True, True], [11, 12, 13, 14, BO, 107, 102, EO, 19]),
            ([True, False, False, True], [BO, 109, EO, 13, 14, 15, 16, BO, 102, EO, 19]),
            ([False] * 4, list(range(11, 20))),
        ],
    )
    def test_each_run_has_its_delimiters(self, latent: Sequence[bool], answer: list[int]) -> None:
        sequence = self.method().sequence_of(LONG, latent)
        assert sequence.ids == [*P, *answer, 9, 0] and sequence.labels == [-100, -100, -100, *answer, 9, 0]

    @pytest.mark.parametrize(
        ("latent", "answer"),
        [
            ([True, True], [BO, 109, 105, 107, 102, EO, 19]),
            ([False, True], [11, 12, 13, 14, BO, 107, 102, EO, 19]),
            ([True, False], [BO, 109, 105, EO, 15, 16, 17, 18, 19]),
        ],
    )
    def test_a_chunk_of_two_codes_is_replaced_whole(self, latent: Sequence[bool], answer: list[int]) -> None:
        method = build_method(self.name, {}).bind(SPECIAL, fixed(2, 4))
        assert method.sequence_of(LONG, latent).ids == [*P, *answer, 9, 0]
        drawn = {tuple(method.sequence(LONG, START, np.random.default_rng(seed)).ids) for seed in range(60)}
        assert len(drawn) == 4 and (*P, *answer, 9, 0) in drawn

    @pytest.mark.parametrize("probability", [0.0, 0.25, 0.5, 1.0])
    def test_the_coins_are_independent_and_as_biased_as_asked(self, probability: float) -> None:
        """Each of the 8 patterns of 3 chunks comes as often as three independent coins say."""
        method, rng, draws = self.method(probability=probability), np.random.default_rng(0), 8000
        drawn = Counter(tuple(method.sequence(ROW, START, rng).ids) for _ in range(draws))
        for pattern in np.ndindex(2, 2, 2):
            share = probability ** sum(pattern) * (1 - probability) ** (3 - sum(pattern))
            count = drawn[tuple(method.sequence_of(ROW, list(map(bool, pattern))).ids)]
            assert abs(count - draws * share) <= 4 * np.sqrt(draws * share * (1 - share))

    @pytest.mark.parametrize(("rate", "length"), [(1, 1), (1, 3), (2, 2), (2, 4), (3, 3), (4, 4), (1, 2)])
    def test_room_is_left_for_the_delimiters_of_every_run(self, rate: int, length: int) -> None:
        method = build_method(self.name, {}).bind(SPECIAL, fixed(rate, length))
        row = coded({**ROW, "trace_ids": [11] * 24}, [0] * (24 // rate), rate)
        chunks = 24 // length
        longest = max(len(method.sequence_of(row, [place % 2 == 0 for place in range(chunks)]).ids), 3 + 24 + 2)
        assert longest - (3 + 24 + 2) <= method.extra_tokens(row)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("assorted-curriculum", "stages", 0),
        ("assorted-curriculum", "epochs_per_stage", 0.0),
        ("assorted-poisson", "probability", 1.5),
        ("assorted-poisson", "probability", -0.1),
    ],
)
def test_wrong_options_are_refused(name: str, option: str, value: float) -> None:
    with pytest.raises(InputError, match=f"method option '{option}': {value} does not fit"):
        build_method(name, {option: value})


@pytest.mark.parametrize("rate", [1, 2, 3, 16])
def test_room_is_left_for_the_delimiters(rate: int) -> None:
    """Of all prefixes the worst is one code, which takes three tokens in place of r."""
    method = build_method("assorted", {}).bind(SPECIAL, fixed(rate))
    row = coded({**ROW, "trace_ids": [11] * 48}, [0] * (48 // rate), rate)
    longest = max(len(method.sequence_with(row, replaced).ids) for replaced in range(len(row["codes"]) + 1))
    assert longest == 3 + 48 + 2 + method.extra_tokens(row)


def test_a_first_stage_that_is_asked_for_has_a_step_at_least() -> None:
    few = Curriculum(stages=2, first_epochs=0.1, epochs_per_stage=0.1)
    assert [few.stage(Progress(step, 3)) for step in range(4)] == [0, 1, 2, 3]
    assert Curriculum(stages=2, first_epochs=0, epochs_per_stage=0.1).stage(Progress(0, 3)) == 1
