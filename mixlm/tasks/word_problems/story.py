"""What happens in a word problem: people have amounts of one thing, and events change them.

Every event works from the amount that the one before it made. So the answer follows from all events in their order:
sums alone a small model adds up at once without a trace; with products and shares between them it cannot.
"""

import operator
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args


Kind = Literal["gain", "lose", "give", "take", "join", "more", "fewer", "times", "share"]
KINDS: Sequence[Kind] = get_args(Kind)
SIGNS: Mapping[Kind, str] = dict(zip(KINDS, "+--+++-*/", strict=True))
FACTORS = range(2, 10)
_CALCULATE = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}
# Of the kinds that can follow: a third of all sums are products and shares; more shares would make 2 frequent.
_WEIGHTS: Mapping[Kind, int] = dict(zip(KINDS, (1, 1, 1, 1, 1, 1, 1, 3, 2), strict=True))
_COMPARISONS = ("more", "fewer", "times", "share")  # they tell of somebody new
_TRANSFERS = ("give", "take", "join")
_LEAST = 2  # of what is told in the plural


class Event(NamedTuple):
    """One event, and one step of the trace.

    Attributes:
        kind: "gain", "lose": ``who`` comes by ``number``, or loses them; "give", "take": to or from ``other``; "join":
            ``who`` is given the ``number`` that ``other`` has, which is not told. "more", "fewer": ``who``, not heard
            of before, has ``number`` more or fewer than ``other``; "times": so many times as many; "share": as many
            as ``other``'s divided by it.
        who: The one whose amount it tells, from which the next event goes on.
        other: The second person; "" without.
        number: What the amount changes by.
    """

    kind: Kind
    who: str
    other: str
    number: int


class Sum(NamedTuple):
    """What an event amounts to: ``left sign right = result``."""

    left: int
    sign: str
    right: int
    result: int


@dataclass(frozen=True)
class Story:
    """A problem; asked for is what the last event's ``who`` has in the end.

    Attributes:
        start: What two people have at first.
        events: What happens then.
    """

    start: Mapping[str, int]
    events: Sequence[Event]

    def sums(self) -> list[Sum]:
        """Return what every event amounts to, found by replaying them all.

        >>> events = [Event("give", "Ann", "Ben", 2), Event("times", "Cem", "Ann", 4), Event("join", "Cem", "Ben", 5)]
        >>> ["{} {} {} = {}".format(*each) for each in Story({"Ann": 5, "Ben": 3}, events).sums()]
        ['5 - 2 = 3', '3 * 4 = 12', '12 + 5 = 17']
        """
        amounts = dict(self.start)
        return [carry_out(event, amounts) for event in self.events]


def carry_out(event: Event, amounts: dict[str, int]) -> Sum:
    """Let an event change ``amounts``, and return what it amounts to."""
    kind, who, other, number = event
    left = amounts[other if kind in _COMPARISONS else who]
    result = _CALCULATE[SIGNS[kind]](left, number)
    amounts[who] = result
    if kind in _TRANSFERS:
        amounts[other] += left - result
    return Sum(left, SIGNS[kind], number, result)


def draw_story(rng: random.Random, names: Sequence[str], operations: int, largest: int) -> Story:
    """Draw a problem of so many events, in which no amount is above ``largest`` and none that is asked for below 2."""
    first, second, *others = rng.sample(names, operations + 2)
    start = {first: rng.randint(_LEAST, largest // 2), second: rng.randint(_LEAST, largest // 2)}
    amounts, events, last = dict(start), [], first
    while len(events) < operations:
        known = rng.choice([name for name in amounts if name != last])
        numbers = possible_numbers(amounts[last], amounts[known], largest)
        kind = rng.choices([*numbers], [_WEIGHTS[kind] for kind in numbers])[0]
        who, other = (others.pop(), last) if kind in _COMPARISONS else (last, known if kind in _TRANSFERS else "")
        events.append(Event(kind, who, other, rng.choice(numbers[kind])))
        carry_out(events[-1], amounts)
        last = who
    return Story(start, events)


def possible_numbers(have: int, known: int, largest: int) -> dict[Kind, Sequence[int]]:
    """Return the numbers of every kind of event that can follow, for the kinds that have some.

    Args:
        have: The amount to go on from.
        known: What somebody else has.
        largest: No amount may be above it.
    """
    quarter, room = largest // 4, largest - have
    added, taken = _up_to(quarter, room), _up_to(quarter, have - _LEAST)
    numbers = {
        "gain": added,
        "lose": taken,
        "give": _up_to(quarter, have - _LEAST, largest - known),
        "take": _up_to(quarter, room, known),
        "join": [known] if _LEAST <= known <= room else [],
        "more": added,
        "fewer": taken,
        "times": [factor for factor in FACTORS if have * factor <= largest],
        "share": [factor for factor in FACTORS if have % factor == 0 and have // factor >= _LEAST],
    }
    return {kind: able for kind, able in numbers.items() if able}


def _up_to(*bounds: int) -> range:
    """Return the numbers in a sentence that are within all bounds."""
    return range(_LEAST, min(bounds) + 1)
