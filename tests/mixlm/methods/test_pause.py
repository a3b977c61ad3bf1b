import numpy as np
import pytest

from mixlm.errors import InputError
from mixlm.generation.answers import TokenCounts
from mixlm.methods import Progress, build_method
from tests.mixlm.methods.hand import PAUSE, ROW, SPECIAL, P
from tests.mixlm.methods.method_tests import Example, MethodTests


ANSWER = [11, 12, 13, 14, 15, 16, 17, 9, 0]
START = Progress(0, 1)


class TestPause(MethodTests):
    """P, three pauses, C, S: what the model puts out at the last pause is learned, at those before it nothing."""

    name = "pause"
    options = {"count": 3}
    examples = [Example([PAUSE] * 3 + ANSWER, [-100] * 3 + ANSWER)]
    counts, paper_tokens = TokenCounts(text=9, pause=3), 9  # the papers do not count pauses

    def test_without_a_trace_as_in_the_table_of_coconut(self) -> None:
        sequence = self.method(trace=False).sequence(ROW, START, np.random.default_rng(0))
        assert sequence.ids == [*P, PAUSE, PAUSE, PAUSE, 9, 0]
        assert sequence.labels == [-100, -100, -100, -100, -100, -100, 9, 0]

    @pytest.mark.parametrize("count", [0, 1, 10])
    def test_as_many_pauses_as_asked_for(self, count: int) -> None:
        assert self.method(count=count).prompt(P, START) == [*P, *[PAUSE] * count]


def test_another_number_of_pauses_at_inference_is_refused() -> None:
    """They are no thoughts: ``--thoughts`` does not change them."""
    method = build_method("pause", {}).bind(SPECIAL)
    with pytest.raises(InputError, match="--thoughts 4: method 'pause' has no thoughts"):
        method.prompt(P, START, thoughts=4)


def test_a_negative_number_of_pauses_is_refused() -> None:
    with pytest.raises(InputError, match="method option 'count': -1 does not fit; give a whole number from 0"):
        build_method("pause", {"count": -1})
