from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from mixlm.analysis.steering import MODES, Steering, exchange, steering_finding
from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.answerer import Answerer, Request
from mixlm.generation.answers import read_answer
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.model.special_tokens import special_ids
from mixlm.run import Run
from tests.tiny_runs import WORDS, tiny_model, tiny_run, tiny_tokenizer


TOKENIZER = tiny_tokenizer()
IDS = special_ids(TOKENIZER)
OPTIONS = GenerationOptions(max_new_tokens=16, batch_size=2)
FREE, ALL = MODES
Rule = Callable[[int, Sequence[int]], int | None]  # of a question's digit and the codes given: the digit answered


def digit(value: int) -> int:
    return WORDS.index(str(value))


def row(number: int, asked: int, answer: int | None = None) -> dict:
    solution = [WORDS.index("###"), digit(asked if answer is None else answer), 0]
    return {"row": number, "prompt_ids": [digit(asked)], "trace_ids": [1, 2, 3, 4], "solution_ids": solution}


class Writer(Answerer):
    """Writes for a question about a digit two latents with its code, or one for a five, and answers by a rule."""

    def __init__(self, rule: Rule, run: Run | None = None) -> None:
        self.run, self.tokenizer, self.rule, self.given = run or tiny_run(ids=IDS), TOKENIZER, rule, []

    def decode(self, pending, options, advance=None):
        return [read_answer(self._ids(one), TOKENIZER, IDS) for one in pending]

    @staticmethod
    def _written(asked: int) -> list[int]:
        return [IDS.bo_latent, *[IDS.latent(asked % 5)] * (1 if asked == 5 else 2), IDS.eo_latent]

    def _ids(self, one) -> list[int]:
        asked = one.request.prompt_ids[0] - digit(0)
        opening = self._written(asked) if one.request.opening is None else list(one.request.opening)
        self.given += [] if one.request.opening is None else [(asked, opening)]
        found = self.rule(asked, [IDS.code(token) for token in opening if IDS.is_latent(token)])
        return [*opening, *([1] if found is None else [WORDS.index("###"), digit(found)]), 0]


def follow(asked: int, codes: Sequence[int]) -> int:
    return codes[0] if codes else 4


def ignore(asked: int, codes: Sequence[int]) -> int:
    return asked


def table(rule: Rule, rows: Sequence[dict], mode=FREE, run: Run | None = None) -> dict[tuple[str, str], tuple]:
    found = Steering(Writer(rule, run), rows, OPTIONS, "exact").table(mode)
    return {(one["given"], one["answer"]): (one["share"], one["of"]) for one in found}


DIGITS = [row(number, number) for number in range(5)]
THE_OTHERS, ITS_OWN, NEITHER = (("the other's", name) for name in ("the other's", "its own", "neither"))
RIGHT, CHANCE = ("own", "right"), ("own", "the other's")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("rule", "shares"),
    [(follow, (1, 0, 0)), (ignore, (0, 1, 0)), (lambda asked, codes: asked if codes[0] == asked else 5, (0, 0, 1))],
    ids=["follows", "ignores", "is confused"],
)
def test_where_answers_come_from_is_told(rule, shares, mode) -> None:
    found = table(rule, DIGITS, mode)
    assert [found[key] for key in (THE_OTHERS, ITS_OWN, NEITHER)] == [(share, 5) for share in shares]
    assert found[RIGHT] == (1, 5) and found[CHANCE] == (0, 5)


def test_an_answer_may_be_wrong_and_still_follow() -> None:
    found = table(follow, [row(n, n, answer=5) for n in range(5)])
    assert found[RIGHT] == (0, 5) and found[THE_OTHERS] == (1, 5)


def test_pairs_that_tell_nothing_are_left_out_and_counted_as_chance() -> None:
    """Parities: of pairs that are drawn, those with one answer are chance, and the others are exchanged."""
    rows = [row(n, n, answer=n % 2) for n in range(5)]
    drawn = exchange([2] * 5)
    alike = sum(taker % 2 == giver % 2 for taker, giver in drawn)
    found = table(lambda asked, codes: codes[0] % 2, rows)
    assert 0 < alike < 5
    assert found[CHANCE] == (alike / 5, 5) and found[THE_OTHERS] == (1, 5 - alike) and found[RIGHT] == (1, 5)


def test_pairs_with_the_same_latents_exchange_nothing_and_are_told() -> None:
    """As with pauses: a writer whose latents are the same for each question, whatever it answers."""
    writer = Writer(ignore)
    writer._written = lambda asked: [IDS.bo_latent, IDS.latent(1), IDS.latent(1), IDS.eo_latent]
    assert Steering(writer, DIGITS, OPTIONS, "exact").table(FREE) == [] and writer.given == []
    writer._written = lambda asked: Writer._written(max(asked, 2))  # 0, 1 and 2 have the same
    table = Steering(writer, DIGITS, OPTIONS, "exact").table(FREE)
    drawn = exchange([4] * 5)
    same = sum(max(taker, 2) == max(giver, 2) for taker, giver in drawn)
    found = {(one["given"], one["answer"]): (one["share"], one["of"]) for one in table}
    assert 0 < same < 5
    assert found["own", "the other's latents"] == (same / 5, 5) and found[ITS_OWN] == (1, 5 - same)


def test_answers_that_cannot_be_read_are_in_no_pair_or_neither() -> None:
    found = table(lambda asked, codes: None if asked == 3 else asked, DIGITS)
    assert found[RIGHT] == (0.8, 5) and found[ITS_OWN][1] == 3
    found = table(lambda asked, codes: asked if asked == codes[0] else None, DIGITS)
    assert found[NEITHER] == (1, 5)


def test_latents_are_given_whole_to_questions_with_as_many_of_their_own() -> None:
    writer = Writer(follow)
    rows = [*DIGITS, row(5, 5), row(6, 5, answer=0)]  # two more with a span of one latent, whose answers are alike
    Steering(writer, rows, OPTIONS, "exact").table(FREE)
    spans = {n: [IDS.bo_latent, IDS.latent(n), IDS.latent(n), IDS.eo_latent] for n in range(5)}
    assert sorted(asked for asked, _ in writer.given) == [0, 1, 2, 3, 4]
    assert sorted(opening for _, opening in writer.given) == sorted(spans.values())
    assert all(opening != spans[asked] for asked, opening in writer.given)


def test_pairs_have_spans_of_one_length_and_every_place_takes_and_gives_once() -> None:
    lengths = [2, 0, 3, 2, 1, 3, 2, 0, 4]
    for seed in range(5):
        pairs = exchange(lengths, seed)
        assert all(lengths[taker] == lengths[giver] > 0 and taker != giver for taker, giver in pairs)
        takers, givers = map(sorted, zip(*pairs, strict=True))
        assert takers == givers == [0, 2, 3, 5, 6]
    assert exchange(lengths, 1) == exchange(lengths, 1)
    assert exchange([]) == exchange([1, 2, 3]) == []


def test_a_model_answers_after_the_others_latents_as_after_any_that_are_given() -> None:
    """The exchange by hand: prompts of the takers, spans that the givers wrote, in batches of another size."""
    engine = Engine(tiny_run(ids=IDS), tiny_model("llama"), TOKENIZER)
    engine.run.template = Template(solution="{answer}")  # any text is an answer
    rows, options = [row(number, number) for number in range(6)], replace(OPTIONS, max_new_tokens=5)  # one is text
    steering = Steering(engine, rows, options, "exact")
    written = steering._write(ALL)
    assert [len(opening) for opening in written.openings] == [4] * 6  # two codes a trace, and the delimiters
    pairs = exchange([4] * 6)
    by_hand = []
    for taker, giver in pairs:
        request = Request(rows[taker]["prompt_ids"], opening=written.openings[giver])
        text = engine.answer([request], options)[0].text.split()
        own, other = written.answers[taker].split(), written.answers[giver].split()
        by_hand.append("the other's" if text == other else "its own" if text == own else "neither")
    assert steering._exchanged(written, pairs) == by_hand
    assert len({*by_hand}) > 1


def test_further_spans_decide_no_answer() -> None:
    """A method that writes several: its own answer, too, is the one after the first span."""
    run = replace(tiny_run(ids=IDS), method_name="assorted-poisson")
    writer = Writer(follow, run)
    Steering(writer, DIGITS, OPTIONS, "exact").table(FREE)
    own = [IDS.bo_latent, IDS.latent(2), IDS.latent(2), IDS.eo_latent]
    assert writer.given.count((2, own)) == 1 and len(writer.given) == 10


def test_the_finding_has_both_modes_with_intervals_and_a_plot(tmp_path) -> None:
    finding = steering_finding(Steering(Writer(follow), DIGITS, OPTIONS, "exact"))
    assert [one["latents"] for one in finding.rows] == ["free"] * 6 + ["exact:100%"] * 6
    for one in finding.rows:
        assert (one["share"], one["low"], one["high"]) == wilson_interval(one["share"] * one["of"], one["of"])
    assert finding.title == "assorted: answers with another question's latents, 5 questions"
    pytest.importorskip("matplotlib")
    assert all(path.stat().st_size > 100 for path in finding.write(tmp_path))


def test_what_cannot_be_exchanged_is_refused() -> None:
    for name in ("cot", "coconut"):
        with pytest.raises(InputError, match=f"run: method '{name}' writes no latents that could be exchanged"):
            Steering(Writer(ignore, tiny_run(name, ids=IDS)), DIGITS, OPTIONS, "exact")
    with pytest.raises(InputError, match="greedy answers are compared"):
        Steering(Writer(ignore), DIGITS, replace(OPTIONS, temperature=1.0), "exact")
    for rows in (DIGITS[:1], [row(n, n, answer=0) for n in range(2)]):
        with pytest.raises(InputError, match="no two questions have equally many latents, not the same ones"):
            steering_finding(Steering(Writer(lambda asked, codes: 0), rows, OPTIONS, "exact"))
