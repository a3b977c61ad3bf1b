import numpy as np
import pytest

from mixlm.errors import InputError
from mixlm.generation.answers import TokenCounts
from mixlm.methods import Progress, build_method
from tests.mixlm.methods.hand import ROW, P
from tests.mixlm.methods.method_tests import MethodTests, text


class TestStepwiseInternalisation(MethodTests):
    """Two steps a token: s = step // round(10 / 5), until all 7 trace tokens are gone."""

    name = "icot"
    options = {"per_epoch": 5.0, "smoothing": 1.0}
    examples = [  # seeds 1, 0, 4 draw o = 0, 1, 2
        text(11, 12, 13, 14, 15, 16, 17, 9, 0, step=0, seed=1),
        text(11, 12, 13, 14, 15, 16, 17, 9, 0, step=1, seed=1),
        text(12, 13, 14, 15, 16, 17, 9, 0, step=0, seed=0),
        text(12, 13, 14, 15, 16, 17, 9, 0, step=2, seed=1),
        text(14, 15, 16, 17, 9, 0, step=2, seed=4),
        text(17, 9, 0, step=13, seed=1),
        text(9, 0, step=13, seed=4),
        text(9, 0, step=14, seed=1),
        text(9, 0, step=1000, seed=4),
    ]
    schedule = [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (13, 6), (14, 7), (15, 7), (1000, 7)]
    counts, paper_tokens = TokenCounts(text=2), 2

    @pytest.mark.parametrize(
        ("steps_per_epoch", "per_epoch", "interval"),
        [(37, 8.0, 5), (16, 8.0, 2), (4, 8.0, 1), (1, 8.0, 1), (10, 1.0, 10), (10, 0.5, 20), (3012, 8.0, 376)],
    )
    def test_s_grows_every_rounded_share_of_an_epoch(
        self, steps_per_epoch: int, per_epoch: float, interval: int
    ) -> None:
        method = self.method(per_epoch=per_epoch)
        places = [interval - 1, interval, 2 * interval - 1, 2 * interval]
        assert [method.stage(Progress(step, steps_per_epoch)) for step in places] == [0, 1, 1, 2]
        assert method.schedule_end(steps_per_epoch) == 7 * interval

    @pytest.mark.parametrize(("smoothing", "none"), [(4.0, 0.98168), (1.0, 0.63212)])
    def test_the_smoothing_has_the_stated_distribution(self, smoothing: float, none: float) -> None:
        """P(o) = (1 - exp(-lambda)) exp(-lambda o), here of a trace too long to be used up; 98.2 % zero at 4."""
        method, draws = self.method(smoothing=smoothing), 40_000
        method.restore({"longest": 1000})
        row, rng = {**ROW, "trace_ids": list(range(100))}, np.random.default_rng(0)
        left = [len(method.sequence(row, Progress(6, 10), rng).ids) for _ in range(draws)]
        removed = np.bincount(3 + 100 + 2 - np.array(left), minlength=8)
        assert removed[:3].sum() == 0  # s = 3
        for o in range(4):
            share = (1 - np.exp(-smoothing)) * np.exp(-smoothing * o)
            assert abs(removed[3 + o] - draws * share) < 4 * np.sqrt(draws * share * (1 - share))
        assert removed[3] / draws == pytest.approx(none, abs=0.01)

    def test_without_smoothing_exactly_s_tokens_go(self) -> None:
        method, rng = self.method(smoothing="inf"), np.random.default_rng(0)
        assert {len(method.sequence(ROW, Progress(4, 10), rng).ids) for _ in range(500)} == {3 + 5 + 2}

    def test_beyond_a_limit_everything_goes_at_once(self) -> None:
        method, rng = self.method(remove_all_beyond=3, smoothing="inf"), np.random.default_rng(0)
        removed = [12 - len(method.sequence(ROW, Progress(step, 10), rng).ids) for step in range(0, 12, 2)]
        assert removed == [0, 1, 2, 7, 7, 7]
        assert [method.stage(Progress(step, 10)) for step in range(0, 12, 2)] == [0, 1, 2, 3, 3, 3]
        assert method.schedule_end(10) == 6

    def test_a_limit_beyond_the_longest_trace_changes_nothing(self) -> None:
        assert self.method(remove_all_beyond=39).schedule_end(10) == self.method().schedule_end(10) == 14

    def test_the_longest_trace_of_the_training_rows_sets_the_end(self) -> None:
        method = build_method("icot", {"per_epoch": 5.0})
        state = method.fit([ROW, {**ROW, "trace_ids": [11] * 20}, {**ROW, "trace_ids": []}], seed=0)
        assert state == {"longest": 20} and method.schedule_end(10) == 40

    def test_the_optimizer_starts_anew_when_s_grows_while_a_trace_remains(self) -> None:
        method = self.method(remove_all_beyond=3)
        assert [method.optimizer_period(Progress(step, 10)) for step in range(9)] == [0, 0, 1, 1, 2, 2, 3, 3, 3]
        method = self.method(reset_optimizer="false")
        assert {method.optimizer_period(Progress(step, 10)) for step in range(9)} == {0}

    def test_a_short_trace_is_simply_gone(self) -> None:
        row = {**ROW, "trace_ids": [11]}
        sequence = self.method().sequence(row, Progress(6, 10), np.random.default_rng(0))
        assert sequence.ids == [*P, 9, 0]


@pytest.mark.parametrize(("option", "value"), [("per_epoch", 0), ("smoothing", 0), ("remove_all_beyond", -1)])
def test_wrong_options_are_refused(option: str, value: int) -> None:
    with pytest.raises(InputError, match=f"method option '{option}': {value}"):
        build_method("icot", {option: value})
