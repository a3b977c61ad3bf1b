"""How a batch with thoughts is cut into passes, and that nothing is computed twice."""

from inspect import signature

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlm.model.thoughts.layout import cut_up, lay_out
from mixlm.model.thoughts.passes import cache_argument, new_cache, reach
from mixlm.model.thoughts.thinking import thought_forward, thought_generate
from tests.tiny_thoughts import FAMILIES, Row, make_batch, make_row, random_lm


def lay_out_rows(*rows: str) -> tuple[list[list[int]], list[int]]:
    """Lay out rows of letters: T a thought, a dot padding."""
    letters = np.array([list(row) for row in rows])
    slots, bounds = lay_out(letters != ".", letters == "T")
    return slots.tolist(), bounds


def test_the_example_of_the_docstring() -> None:
    slots, bounds = lay_out_rows("PPPTxx", "QQTyTz")
    assert bounds == [0, 2, 4, 7]
    assert slots == [[1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 5, 6]]


@pytest.mark.parametrize(
    ("rows", "slots", "bounds"),
    [
        (["PPxx"], [[0, 1, 2, 3]], [0, 4]),
        (["PPx", "..Q"], [[0, 1, 2], [-1, -1, 2]], [0, 3]),
        (["PTTTx"], [[0, 1, 2, 3, 4]], [0, 1, 2, 3, 5]),
        (["PPT"], [[0, 1, 2]], [0, 2, 3]),
        # A row without thoughts: its last tokens fill what the others' passes need anyway, the rest the first pass.
        (["PTTx", "Qxyz"], [[0, 1, 2, 3], [0, 1, 2, 3]], [0, 1, 2, 4]),
        # A stretch after a thought cannot wait, so it widens its pass; a prompt goes where it is wide.
        (
            ["PTyyTx..", "QQQQQTz.", "R......."],
            [[1, 2, 3, 4, 5, 6, -1, -1], [0, 1, 2, 3, 4, 5, 6, -1], [6, *[-1] * 7]],
            [0, 2, 5, 7],
        ),
    ],
)
def test_by_hand(rows: list[str], slots: list, bounds: list[int]) -> None:
    assert lay_out_rows(*rows) == (slots, bounds)


@st.composite
def batches(draw: st.DrawFn) -> list[str]:
    """Up to five rows of up to twelve places, padded anywhere; none begins with a thought."""
    length = draw(st.integers(1, 12))
    rows = draw(st.lists(st.text("PT.", min_size=length, max_size=length), min_size=1, max_size=5))
    rows = [row for row in rows if row.strip(".")[:1] != "T"]
    return rows if any(row.strip(".") for row in rows) else ["P" * length]


@given(batches())
def test_thoughts_begin_passes_and_every_token_is_computed_once(rows: list[str]) -> None:
    slots, bounds = lay_out_rows(*rows)
    most = max(row.count("T") for row in rows)
    assert len(bounds) == most + 2 and bounds[0] == 0
    needed = np.zeros(most + 1, dtype=int)
    for row, columns in zip(rows, slots, strict=True):
        assert [column == -1 for column in columns] == [letter == "." for letter in row]
        letters = row.replace(".", "")
        real = [column for column in columns if column >= 0]
        assert real == sorted(set(real)) and all(column < bounds[-1] for column in real)
        passes = np.searchsorted(bounds, real, side="right") - 1
        begun = [place for place, letter in enumerate(letters) if letter == "T"]
        assert [passes[place] for place in begun] == list(range(most + 1 - len(begun), most + 1))
        assert all(real[place - 1] == bounds[passes[place]] - 1 for place in begun)
        for number in {*passes[begun[0] :]} if begun else ():
            needed[number] = max(needed[number], (passes == number).sum())
    widths = np.diff(bounds)
    assert (widths[1:] == needed[1:]).all()  # no pass is wider than the stretch after some row's thought


@given(batches())
def test_ids_mask_and_positions_follow_their_tokens(rows: list[str]) -> None:
    letters = np.array([list(row) for row in rows])
    real, thoughts = torch.tensor(letters != "."), torch.tensor(letters == "T")
    ids = torch.arange(1, real.numel() + 1).view(real.shape)
    cut = cut_up(ids, real.long(), thoughts)
    assert torch.equal(cut.restore(cut.ids)[real], ids[real])
    assert torch.equal(cut.restore(cut.thoughts)[real], thoughts[real])
    assert torch.equal(cut.restore(cut.positions)[real], (real.cumsum(1) - 1)[real])
    assert torch.equal(cut.mask.sum(1), real.sum(1)) and torch.equal(cut.thoughts.sum(1), thoughts.sum(1))
    assert not (cut.ids * (1 - cut.mask)).any()


class Calls:
    """Counts the forward calls of a model and the tokens of each row in them."""

    def __init__(self, model: torch.nn.Module) -> None:
        reach(model)  # tries the model, once
        self.widths: list[int] = []
        self.handle = model.register_forward_pre_hook(self.note, with_kwargs=True)

    def note(self, model: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        given = kwargs.get("inputs_embeds")
        self.widths.append((kwargs["input_ids"] if given is None else given).shape[1])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("patterns", "widths"),
    [
        (["xx"], [6]),
        (["TTTxx"], [4, 1, 1, 3]),
        (["xTxxTx"], [5, 3, 2]),
        (["TTTxx", "Txx", "xx"], [4, 1, 1, 3]),  # rows of other numbers, in the passes that are there anyway
    ],
)
def test_each_pass_computes_its_own_columns_only(family: str, patterns: list[str], widths: list[int]) -> None:
    model = random_lm(family)
    rows: list[Row] = [make_row(4, pattern, seed) for seed, pattern in enumerate(patterns)]
    calls = Calls(model)
    thought_forward(model, *make_batch(rows))
    assert calls.widths == widths


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_ends_when_every_row_has_ended(family: str) -> None:
    model, rows = random_lm(family), [make_row(4, "TT", seed) for seed in range(3)]
    prompts = make_batch(rows).prompts
    free = thought_generate(model, *prompts, 9, -1)
    calls = Calls(model)
    assert thought_generate(model, *prompts, 9, -1).shape == (3, 9)
    assert calls.widths == [4, 1, 1, *[1] * 8]  # nobody asks what follows the last token
    one = [values[:1] for values in prompts]
    eos = int(free[0, 2])
    ended = free[0].tolist().index(eos) + 1
    calls.widths.clear()
    assert thought_generate(model, *one, 9, eos).tolist() == [free[0, :ended].tolist()]
    assert calls.widths == [4, 1, 1, *[1] * (ended - 1)]
    assert thought_generate(model, *prompts, 0, eos).shape == (3, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_builds_no_graph_and_leaves_the_mode_alone(family: str) -> None:
    model = random_lm(family)
    written = thought_generate(model, *make_batch([make_row(3, "Tx")]).prompts, 2, -1)
    assert not written.requires_grad and not model.training


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cache_is_given_by_the_name_that_the_model_has_for_it(family: str) -> None:
    model = random_lm(family)
    cache = new_cache(model)
    ((name, value),) = cache_argument(cache).items()
    assert name in signature(model.forward).parameters and value is cache
