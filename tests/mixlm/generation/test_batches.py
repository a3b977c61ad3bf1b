"""Which answers share a batch."""

import pytest

from mixlm.generation.answerer import Pending, Request, batches
from mixlm.generation.grammar import LatentMode


@pytest.mark.parametrize(
    ("shared", "thoughts", "sizes"),
    [
        ("any", 0, [2, 2]),
        ("any", 3, [2, 2]),
        ("of one length", 0, [2, 1, 1]),
        ("of one length", 3, [1, 1, 1, 1]),  # which of them will be of one length when it has thought, nobody knows
        ("alone", 0, [1, 1, 1, 1]),
    ],
)
def test_prompts_of_one_length_share_a_batch_where_they_stay_so(shared: str, thoughts: int, sizes: list[int]) -> None:
    prompts = [[1] * length for length in (5, 4, 3, 3)]
    pending = [
        Pending(place, Request(ids), ids, LatentMode("free"), 8, thoughts)
        for place, ids in enumerate(reversed(prompts))
    ]
    found = [*batches(pending, 2, shared)]
    assert sorted(map(len, found), reverse=True) == sizes
    assert sorted(one.place for batch in found for one in batch) == [0, 1, 2, 3]
