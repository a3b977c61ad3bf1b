"""Generated rows have the frequencies of the published ones.

For each feature both sets of 9,200 rows give histograms, one for each role in the world where roles differ. The sum
of the pairs' chi-squares is brought to a normal deviate. If both are samples of one distribution, it is below 4 in all
but one of 30,000 cases.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from functools import cache

import pytest

from mixlm.tasks.prontoqa import task as prontoqa
from mixlm.tasks.prontoqa.task import SPLITS, load
from tests.mixlm.tasks.generating import generator
from tests.mixlm.tasks.prontoqa.prontoqa_reading import Reading, proofs, read_question


generate = generator(prontoqa)
LIMIT = 4
FEATURES = [
    "answer",
    "characters of the question",
    "characters of the steps",
    "classes",
    "denial",
    "denials",
    "form of sentences",
    "form of the question and answer",
    "last sentences",
    "name",
    "order of the chain",
    "place in the question",
    "plurals",
    "properties",
    "structure",
    "words of the question",
    "words of the steps",
]


def deviate(first: dict[str, Counter], second: dict[str, Counter]) -> float:
    """How far pairs of histograms are apart, as a standard normal deviate if each pair is of one distribution."""
    parts = [chi_square(first[role], second[role]) for role in first]
    square, degrees = (sum(part) for part in zip(*parts, strict=True))
    if not degrees:
        return 0.0
    # Wilson and Hilferty: the cube root of a chi-square over its degrees is close to normal.
    spread = 2 / (9 * degrees)
    return ((square / degrees) ** (1 / 3) - 1 + spread) / spread**0.5


def chi_square(first: Counter, second: Counter) -> tuple[float, int]:
    """The chi-square of two histograms and its degrees of freedom; rare values are pooled."""
    pooled, bins = [0, 0], [[0, 0]]
    for key in sorted(first | second, key=str):
        pooled = [pooled[0] + first[key], pooled[1] + second[key]]
        if sum(pooled) >= 20:  # enough for the square of a bin to follow its law
            bins.append(pooled)
            pooled = [0, 0]
    bins[-1] = [a + b for a, b in zip(bins[-1], pooled, strict=True)]
    total = [first.total(), second.total()]
    expected = [[sum(bin) * part / sum(total) for part in total] for bin in bins[1:]]
    pairs = [pair for both in zip(bins[1:], expected, strict=True) for pair in zip(*both, strict=True)]
    return sum((found - wanted) ** 2 / wanted for found, wanted in pairs), max(len(bins) - 2, 0)


def roles_of(reading: Reading) -> dict[str, str]:
    """What each class is: of the chain, above a class of the chain or the entity, or the one with the opposite."""
    (way,) = proofs(reading)
    entity, *chain = [it.subject for it in way]
    names = {entity: "entity"} | {concept: f"chain {depth}" for depth, concept in enumerate(chain, 1)}
    # Dictionaries keep their order: what stands above the entity's second class is named after that class.
    for subject in (*names, *(it.predicate for it in reading.about(entity))):
        for it in reading.about(subject):
            if it.predicate.endswith("pus") and it.predicate not in names:
                has_property = any(not other.predicate.endswith("pus") for other in reading.about(it.predicate))
                names[it.predicate] = f"above {names[subject]}" + ("" if has_property else ", bare")
    return {it.subject: "opposite" for it in reading.statements} | names


def features(row: dict) -> Iterator[tuple[str, str, Hashable]]:
    """Name of the feature, role, value."""
    reading = read_question(row["question"])
    names = roles_of(reading)
    roles = {it: f"{names[it.subject]} is {names.get(it.predicate, 'property')}" for it in reading.statements}
    rules = [it for it in reading.statements if it.form != "entity"]
    said = sorted(it.denied for it in rules if it.predicate == reading.asked.predicate)
    yield "structure", "", (*sorted(roles.values()), *said)
    yield "answer", "", row["answer"]
    yield "form of the question and answer", "", (reading.asked.denied, row["answer"])
    yield "name", "", reading.asked.subject
    yield "last sentences", "", tuple(roles[it] for it in reading.statements[-2:])
    yield "plurals", "", f"{sum(it.form == 'plural' for it in rules):2}"
    yield "denials", "", f"{sum(it.denied for it in rules):2}"
    yield "order of the chain", "", tuple(roles[it] for it in rules if re.fullmatch(r"chain . is chain .", roles[it]))
    for text, what in ((row["question"], "question"), (" ".join(row["steps"]), "steps")):
        yield f"words of the {what}", "", f"{len(text.split()):4}"
        yield f"characters of the {what}", "", f"{len(text):4}"
    for concept, role in names.items():
        if role != "entity":
            yield "classes", role, concept
    for place, it in enumerate(rules):
        yield "form of sentences", roles[it], it.form
        yield "place in the question", roles[it], place
        if it.predicate not in names:
            yield "properties", roles[it], it.predicate
            if names[it.subject] != "opposite":  # whose denial is the chain's turned round
                yield "denial", roles[it], it.denied


def histograms(rows: Iterable[dict]) -> dict[str, dict[str, Counter]]:
    found: dict[str, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        for name, role, value in features(row):
            found[name][role][value] += 1
    return found


@cache
def both() -> tuple[dict, dict]:
    real = histograms(row for split in SPLITS for row in load(split))
    return real, histograms(generate(9200, seed=1))


@pytest.mark.parametrize("name", FEATURES)
def test_real_data_and_generated_rows_have_the_same_frequencies(data_folder, name):
    real, ours = both()
    assert deviate(real[name], ours[name]) < LIMIT


def test_real_data_and_generated_rows_have_one_structure_of_the_same_words(data_folder):
    real, ours = both()
    assert list(real["structure"][""]) == list(ours["structure"][""])
    assert len(real["structure"][""]) == 1
    for name in ("name", "classes", "properties", "form of sentences", "denial", "place in the question"):
        assert {role: set(it) for role, it in real[name].items()} == {role: set(it) for role, it in ours[name].items()}


def test_every_feature_is_compared_and_two_draws_of_our_own_agree():
    first, second = (histograms(generate(400, seed=seed)) for seed in (1, 2))
    assert sorted(first) == FEATURES
    assert max(deviate(first[name], second[name]) for name in FEATURES) < LIMIT


def test_a_rate_five_points_off_in_one_role_of_ten_is_noticed_and_one_within_noise_is_not():
    def denials(*hits: int) -> dict[str, Counter]:
        return {str(role): Counter({True: found, False: 9200 - found}) for role, found in enumerate(hits)}

    real = denials(*[3067] * 10)
    assert deviate(real, denials(3067 + 460, *[3067] * 9)) > LIMIT
    assert deviate(real, denials(3067 + 60, *[3067] * 9)) < 1


def test_the_deviate_of_a_chi_square_known_by_heart():
    # 30 of 100 against 50 of 100: 2 x 10^2 / 40 + 2 x 10^2 / 60 = 8.333 with one degree; one-sided p = 0.0039.
    first, second = ({"": Counter(yes=yes, no=100 - yes)} for yes in (30, 50))
    assert chi_square(first[""], second[""]) == (pytest.approx(25 / 3), 1)
    assert deviate(first, second) == pytest.approx(2.66, abs=0.1)
    assert deviate(first, first) < 0
