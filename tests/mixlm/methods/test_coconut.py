from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mixlm.errors import InputError
from mixlm.generation.answers import TokenCounts
from mixlm.methods import Method, Progress, build_method
from mixlm.model.thoughts.stop import STOP_FILE
from tests.mixlm.methods.hand import BO_THOUGHT, EO_THOUGHT, PAUSE, ROW, SPECIAL, THOUGHT, P
from tests.mixlm.methods.method_tests import Example, MethodTests, text


STEPS = [[11, 12, 13], [14, 15], [16, 17]]
# Two epochs of text, two stages of two epochs, the last stage; an epoch has one step.
SCHEDULE = [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (1000, 3)]
CURRICULUM = {"stages": 2, "first_epochs": 2.0, "epochs_per_stage": 2.0}
ONE_STEP = {**ROW, "trace_ids": [11, 12], "step_lengths": [2]}


def filled(filler: int, count: int, *answer: int, step: int = 0) -> Example:
    """P, fillers within their delimiters, none of them learned, then the answer."""
    span = [BO_THOUGHT, *[filler] * count, EO_THOUGHT]
    is_thought = [filler == THOUGHT and token == THOUGHT for token in [*span, *answer]]
    return Example([*span, *answer], [*[-100] * len(span), *answer], tuple(map(int, is_thought)), step)


def staged(filler: int) -> list[Example]:
    """The examples of c = 2 at every stage."""
    return [
        filled(filler, 0, 11, 12, 13, 14, 15, 16, 17, 9, 0, step=1),
        filled(filler, 2, 14, 15, 16, 17, 9, 0, step=2),
        filled(filler, 4, 16, 17, 9, 0, step=5),
        filled(filler, 4, 9, 0, step=6),
    ]


class TestCoconutNoThought(MethodTests):
    """The curriculum alone: nothing stands for the missing steps, not even delimiters."""

    name = "coconut-no-thought"
    options, schedule, steps_per_epoch = CURRICULUM, SCHEDULE, 1
    examples = [
        text(11, 12, 13, 14, 15, 16, 17, 9, 0, step=1),
        text(14, 15, 16, 17, 9, 0, step=2),
        text(16, 17, 9, 0, step=5),
        text(9, 0, step=6),
    ]
    counts, paper_tokens = TokenCounts(text=2), 2


class TestPauseAsThought(MethodTests):
    """The curriculum with two pauses for each missing step."""

    name = "pause-as-thought"
    options, schedule, steps_per_epoch = CURRICULUM, SCHEDULE, 1
    examples = staged(PAUSE)
    counts, paper_tokens = TokenCounts(text=2, pause=4, delimiter=2, thought_delimiter=2), 2


class TestCoconut(MethodTests):
    """The curriculum with two continuous thoughts for each missing step; the paper counts thoughts as tokens."""

    name = "coconut"
    options, schedule, steps_per_epoch = CURRICULUM, SCHEDULE, 1
    examples = staged(THOUGHT)
    counts, paper_tokens = TokenCounts(text=2, thought=4, delimiter=2, thought_delimiter=2), 6


class TestCoconutLearnedStop(TestCoconut):
    """A classifier ends the thoughts; each sample has two for each of its own missing steps."""

    options = {**CURRICULUM, "stop": "learned", "pad_to_max": False}
    training_steps, new_token_lr = 160, 2e-2

    @pytest.mark.parametrize(("step", "most"), [(0, 0), (2, 2), (4, 4), (6, 4), (1000, 4)])
    def test_the_model_adds_at_most_those_of_the_stage(self, step: int, most: int) -> None:
        method, progress = self.method(), Progress(step, 1)
        assert method.thoughts_to_add(progress) == most
        span = [BO_THOUGHT] if most else [BO_THOUGHT, EO_THOUGHT]
        assert method.prompt(P, progress) == [*P, *span]
        assert method.prompt(P, progress, thoughts=1) == [*P, BO_THOUGHT, THOUGHT, EO_THOUGHT]

    def test_it_overfits_four_rows_and_answers_them(self, tmp_path: Path) -> None:
        """The classifier, which lies beside the model, ends each answer's thoughts where its own steps ended."""
        super().test_it_overfits_four_rows_and_answers_them(tmp_path)
        assert (tmp_path / "run" / STOP_FILE).is_file()


class TestCoconutNoCurriculum(MethodTests):
    """The last stage from the first step on."""

    name = "coconut-no-curriculum"
    options = {"stages": 2}
    schedule = [(0, 3), (9, 3), (1000, 3)]
    examples = [filled(THOUGHT, 4, 9, 0), filled(THOUGHT, 4, 9, 0, step=1000)]
    counts, paper_tokens = TokenCounts(text=2, thought=4, delimiter=2, thought_delimiter=2), 6


def bound(name: str = "coconut", **options: object) -> Method:
    return build_method(name, options).bind(SPECIAL)


def forms(method: Method, row: dict, epoch: int, draws: int = 1) -> Counter:
    """Return how often a row has how many (thoughts, trace tokens left), in an epoch of ten steps."""
    rng, found = np.random.default_rng(0), Counter()
    for _ in range(draws):
        ids = method.sequence(row, Progress(10 * epoch, 10), rng).ids
        found[ids.count(THOUGHT), sum(10 < token < 20 for token in ids)] += 1
    return found


@pytest.mark.parametrize(
    ("stages", "each", "table"),
    [
        (3, 3, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]),  # gsm_coconut.yaml
        (6, 5, [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5 + [5] * 5 + [6] * 5 + [7] * 15),  # prosqa_coconut.yaml
    ],
)
def test_the_official_schedule(stages: int, each: int, table: list[int]) -> None:
    """scheduled_stage = epoch // epochs_per_stage, and beyond max_latent_stage no language is left."""
    method = bound(stages=stages, first_epochs=each, epochs_per_stage=each)
    for steps_per_epoch in (1, 7):
        for epoch, stage in enumerate(table):
            inside = {
                method.stage(Progress(epoch * steps_per_epoch + step, steps_per_epoch))
                for step in range(7)[:steps_per_epoch]
            }
            assert inside == {stage}


def test_the_defaults_are_the_papers_schedule_of_gsm8k() -> None:
    """Six epochs of text, three stages of three epochs with two thoughts a step, then six thoughts and no language."""
    method = bound()
    stages = [method.stage(Progress(epoch, 1)) for epoch in range(50)]
    assert stages == [0] * 6 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 35 and method.schedule_end(1) == 15
    thoughts = [method.prompt(P, Progress(epoch, 1)).count(THOUGHT) for epoch in (5, 6, 9, 12, 15, 49)]
    assert thoughts == [0, 2, 4, 6, 6, 6]


def test_a_run_that_goes_on_from_text_starts_in_the_first_stage() -> None:
    method = bound(stages=3, first_epochs=0, epochs_per_stage=3)
    assert [method.stage(Progress(epoch, 1)) for epoch in range(10)] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]


def test_fractions_of_an_epoch_are_rounded_to_steps() -> None:
    method = bound(stages=1, first_epochs=0.3, epochs_per_stage=0.25)
    assert [method.stage(Progress(step, 10)) for step in range(7)] == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("stages", [0, 1, 3])
@pytest.mark.parametrize("per_step", [0, 1, 3])
def test_the_last_stage_has_all_thoughts_and_no_language(stages: int, per_step: int) -> None:
    method = bound(stages=stages, thoughts_per_step=per_step, epochs_per_stage=1)
    last = Progress(method.schedule_end(1), 1)
    assert method.prompt(P, last) == [*P, BO_THOUGHT, *[THOUGHT] * (stages * per_step), EO_THOUGHT]
    assert forms(method, ROW, last.step) == {(stages * per_step, 0): 1}
    assert method.extra_tokens(ROW) == stages * per_step + 2


@pytest.mark.parametrize(
    ("pad", "found"),
    [(True, [(0, 2), (2, 0), (4, 0), (6, 0), (6, 0)]), (False, [(0, 2), (2, 0), (2, 0), (2, 0), (2, 0)])],
)
def test_a_trace_of_fewer_steps_than_the_stage(pad: bool, found: list[tuple[int, int]]) -> None:
    """With padding it has the thoughts of the stage, otherwise those of its own step."""
    method = bound(stages=3, first_epochs=1, epochs_per_stage=1, pad_to_max=pad)
    assert [forms(method, ONE_STEP, epoch) for epoch in range(5)] == [{form: 1} for form in found]


def test_a_trace_of_more_steps_than_stages_loses_the_rest_at_once() -> None:
    method = bound(stages=1, first_epochs=1, epochs_per_stage=1)
    assert [forms(method, ROW, epoch) for epoch in range(3)] == [{(0, 7): 1}, {(2, 4): 1}, {(2, 0): 1}]


def test_uniform_mixing() -> None:
    """With p = 0.4 any number of the three steps is missing, each with 0.1; otherwise the stage's one step."""
    method = bound(stages=2, first_epochs=0, epochs_per_stage=1, mixing="uniform", mixing_probability=0.4)
    found = forms(method, ROW, 0, draws=10_000)
    shares = {(0, 7): 0.1, (2, 4): 0.6 + 0.1, (4, 2): 0.1, (4, 0): 0.1}
    assert set(found) == set(shares)
    for form, share in shares.items():
        assert abs(found[form] - 10_000 * share) < 4 * np.sqrt(10_000 * share * (1 - share))


def test_weighted_mixing() -> None:
    """In stage 2 the stages 0, 1, 2 have the weights 1, 2, 3; in the last, 3, of two stages, 1, 2, 3, 4."""
    method = bound(stages=2, first_epochs=0, epochs_per_stage=1, mixing="weighted")
    for epoch, weights in {1: [1, 2, 3], 2: [1, 2, 3, 4]}.items():
        found = forms(method, ROW, epoch, draws=10_000)
        for form, weight in zip([(0, 7), (2, 4), (4, 2), (4, 0)], weights, strict=False):
            share = weight / sum(weights)
            assert abs(found[form] - 10_000 * share) < 4 * np.sqrt(10_000 * share * (1 - share))
        assert len(found) == len(weights)


def test_without_mixing_every_sample_has_the_stage_of_the_schedule() -> None:
    assert len(forms(bound(stages=2, first_epochs=0, epochs_per_stage=1), ROW, 1, draws=200)) == 1


@pytest.mark.parametrize(
    ("reset", "periods"), [("stage", [0, 0, 1, 1, 2, 2, 2, 2]), ("epoch", [0, 0, 0, 1, 1, 1, 2, 2]), ("none", [0] * 8)]
)
@pytest.mark.parametrize("name", ["coconut", "coconut-no-thought", "pause-as-thought"])
def test_when_the_optimizer_starts_anew(name: str, reset: str, periods: list[int]) -> None:
    """Epochs of three steps; stages of two steps."""
    method = bound(name, stages=1, first_epochs=2 / 3, epochs_per_stage=2 / 3, reset_optimizer=reset)
    assert [method.optimizer_period(Progress(step, 3)) for step in range(8)] == periods


@pytest.mark.parametrize("thoughts", [0, 1, 9])
@pytest.mark.parametrize(("name", "filler"), [("coconut", THOUGHT), ("pause-as-thought", PAUSE)])
def test_another_number_of_thoughts_can_be_asked_for(name: str, filler: int, thoughts: int) -> None:
    given = bound(name).prompt(P, Progress(1000, 1), thoughts=thoughts)
    assert given == [*P, BO_THOUGHT, *[filler] * thoughts, EO_THOUGHT]


def test_a_method_without_thoughts_is_asked_for_none() -> None:
    with pytest.raises(InputError, match="--thoughts 3: method 'coconut-no-thought' has no thoughts"):
        bound("coconut-no-thought").prompt(P, Progress(0, 1), thoughts=3)


def test_steps_leave_the_trace_whole() -> None:
    """What is left always begins where a step begins."""
    method = bound("coconut-no-thought", stages=3, first_epochs=1, epochs_per_stage=1)
    for epoch in range(4):
        ids = method.sequence(ROW, Progress(epoch, 1), np.random.default_rng(0)).ids
        assert ids == [*P, *[token for step in STEPS[epoch:] for token in step], 9, 0]


def test_without_a_curriculum_its_options_are_none() -> None:
    for option in ("first_epochs", "epochs_per_stage", "reset_optimizer", "mixing", "mixing_probability"):
        with pytest.raises(InputError, match="no such option"):
            build_method("coconut-no-curriculum", {option: 1})


@pytest.mark.parametrize("option", ["stages", "first_epochs", "epochs_per_stage", "thoughts_per_step"])
def test_negative_options_are_refused(option: str) -> None:
    with pytest.raises(InputError, match=f"method option '{option}': -1"):
        build_method("coconut", {option: -1})
