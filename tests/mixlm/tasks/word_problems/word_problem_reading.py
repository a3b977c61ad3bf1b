"""Reading word problems and their steps as text, which knows nothing of how they were told, and replaying them."""

import re
from dataclasses import dataclass


PARTS = {"A": "[A-Z][a-z]+", "B": "[A-Z][a-z]+", "N": r"\d+", "T": "[a-z]+"}
FRACTIONS = ("half", "a third", "a quarter", "a fifth", "a sixth", "a seventh", "an eighth", "a ninth")

# What sentences and clauses say of two people, A and B, and a number N of things T.
FORMS = {
    "A had N": ("A has N T", "At first A has N T", "A starts with N T", "In the box of A there are N T"),
    "A += N": ("A finds N more T", "A buys another N", "Then A wins N T")
    + ("A gains N", "N more come to A", "we add N for A", "A gets another N"),
    "A -= N": ("A loses N T", "A sells N", "Then A throws N T away")
    + ("A is without N", "N are gone from A", "we take N off for A", "A has lost N"),
    "A gives B N": ("A gives N T to B", "B is handed N by A", "Then A passes N on to B", "Then B gets N from A")
    + ("A parts with N for B", "N go from A to B", "we move N from A on to B", "B is given N by A")
    + ("B receives N from A", "N come from A to B", "we move N from A over to B", "A leaves N to B"),
    "A gives B all": (
        "A gives B all the T that A has",
        "B is handed everything that A has",
        "Then B gets all of A's T",
    )
    + ("B receives the N of A", "all N of A go to B", "we put the N of A with those of B", "A leaves all N to B"),
    "A = B + N": ("A has N more T than B has now", "Now A is ahead of B by N T", "B now has N fewer T than A")
    + ("B has N fewer T than A has now", "Now B is behind A by N T", "A now has N more T than B")
    + ("A has N more than B", "B is N short of A", "we add N to what B has for A", "A is N ahead of B")
    + ("B has N fewer than A", "A has N beyond B", "we take N from what A has for B", "B is N behind A"),
    "A = B * N": ("A has N times as many T as B has now", "For each of the T that B has now, A has N")
    + ("What A has is N times what B has now", "A now has N times as many T as B")
    + ("For every N T that A has now, B has one", "B has one Nth of the number that A has now")
    + ("A has N times what B has", "B has one where A has N", "we multiply what B has by N for A")
    + ("A has N for each of B", "B has one Nth of what A has", "A has N where B has one")
    + ("we divide what A has by N for B", "B has one for every N of A"),
}
ASKED = re.compile(r"How many [a-z]+ does (\w+) have (?:now|in the end)\?|What is .* that (\w+) has at last\?")
SUM = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
STEPS = [re.compile(form) for form in (r"As (.*), we get = [a-z]+", "Now =, for (.*)", "(.*): =", "(.*), and =")]


def as_pattern(form: str) -> re.Pattern:
    """Return a form as an expression in which the first of each letter is a group and the others are equal to it."""
    seen: set[str] = set()

    def group(match: re.Match) -> str:
        letter = match[0]
        again = letter in seen
        seen.add(letter)
        return f"(?P={letter})" if again else f"(?P<{letter}>{PARTS[letter]})"

    return re.compile(re.sub(r"\b[ABNT](?=th\b|\b)", group, form))


PATTERNS = [(meaning, as_pattern(form)) for meaning, forms in FORMS.items() for form in forms]


@dataclass
class Fact:
    meaning: str
    a: str
    b: str | None
    number: int | None


def read_fact(text: str) -> Fact:
    """What a sentence or clause says; it must have one meaning only."""
    text = re.sub(r"^(We|All)\b", lambda match: match[0].lower(), text.replace("twice", "2 times"))
    for number, fraction in enumerate(FRACTIONS, 2):
        text = text.replace(f" {fraction} of", f" one {number}th of")
    found = [(meaning, match.groupdict()) for meaning, form in PATTERNS if (match := form.fullmatch(text))]
    assert len(found) == 1, f"{text}: {found}"
    ((meaning, parts),) = found
    return Fact(meaning, parts["A"], parts.get("B"), int(parts["N"]) if "N" in parts else None)


def apply(fact: Fact, amounts: dict[str, int]) -> tuple[str, ...]:
    """Let a fact change ``amounts``; return whose amounts it tells."""
    a, b, n = fact.a, fact.b, fact.number
    if fact.meaning == "A had N":
        assert a not in amounts
        amounts[a] = n
        return (a,)
    if fact.meaning in ("A += N", "A -= N"):
        amounts[a] += n if "+" in fact.meaning else -n
        return (a,)
    if fact.meaning.startswith("A gives B"):
        if fact.meaning.endswith("all"):
            assert n in (None, amounts[a])
            n = amounts[a]
        amounts[a], amounts[b] = amounts[a] - n, amounts[b] + n
        return (a, b)
    assert (a in amounts) != (b in amounts), "one of the two follows from the other"
    if b in amounts:
        amounts[a] = amounts[b] + n if "+" in fact.meaning else amounts[b] * n
        return (a,)
    assert "+" in fact.meaning or amounts[a] % n == 0
    amounts[b] = amounts[a] - n if "+" in fact.meaning else amounts[a] // n
    return (b,)


def read_question(question: str) -> tuple[list[Fact], str]:
    """The facts of a question, the two amounts at first among them, and who is asked about."""
    *facts, asked = re.findall(r"\S[^.?]*[.?]", question)
    found = ASKED.fullmatch(asked)
    return [read_fact(fact.removesuffix(".")) for fact in facts], found[1] or found[2]


def read_step(step: str) -> tuple[Fact, tuple[int, str, int, int]]:
    """What a step says and the sum that it tells, which must be right."""
    (left, sign, right, result) = SUM.search(step).groups()
    rest = SUM.sub("=", step, count=1).removesuffix(".")
    (clause,) = [found[1] for form in STEPS if (found := form.fullmatch(rest))]
    left, right, result = int(left), int(right), int(result)
    assert result == {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[sign], step
    return read_fact(clause), (left, sign, right, result)
