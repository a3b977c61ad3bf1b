"""The language of a word problem: people, things, and many ways to say the same.

Templates are filled with the fields of ``story.Event`` and ``story.Sum``, ``things``, ``times`` ("twice", "3 times")
and ``part`` ("half", "a third"). What compares two people in a question says "now": later events change only one of
them.
"""

from collections.abc import Mapping, Sequence

from mixlm.tasks.word_problems.story import FACTORS, Kind


NAMES = (
    "Ada Amir Anouk Bela Bruno Carla Cem Dana Dario Edda Emil Fatma Felix Gita Goran Hana Hugo Ines Ivo Jana Jonas "
    "Kaja Karim Lea Levi Mara Milo Nadia Noah Olga Omar Petra Paul Ravi Rosa Sana Simon Tara Theo Uma Viktor Wanda "
    "Yara Zeno"
).split()
THINGS = (
    "acorns apples badges balloons beads books bottles buttons candles cards coins cookies crayons cups eggs "
    "envelopes feathers flowers keys lemons marbles masks nails pears pencils plates postcards ribbons rings "
    "seeds shells spoons stamps stickers stones tickets tiles walnuts"
).split()
TIMES = {factor: "twice" if factor == 2 else f"{factor} times" for factor in FACTORS}
PARTS = dict(
    zip(
        FACTORS,
        ("half", "a third", "a quarter", "a fifth", "a sixth", "a seventh", "an eighth", "a ninth"),
        strict=True,
    )
)

START = (
    "{who} has {number} {things}.",
    "At first {who} has {number} {things}.",
    "{who} starts with {number} {things}.",
    "In the box of {who} there are {number} {things}.",
)
ASKING = (
    "How many {things} does {who} have now?",
    "How many {things} does {who} have in the end?",
    "What is the number of {things} that {who} has at last?",
)

# How the question tells an event.
TELLING: Mapping[Kind, Sequence[str]] = {
    "gain": (
        "{who} finds {number} more {things}.",
        "{who} buys another {number}.",
        "Then {who} wins {number} {things}.",
    ),
    "lose": (
        "{who} loses {number} {things}.",
        "{who} sells {number}.",
        "Then {who} throws {number} {things} away.",
    ),
    "give": (
        "{who} gives {number} {things} to {other}.",
        "{other} is handed {number} by {who}.",
        "Then {who} passes {number} on to {other}.",
    ),
    "take": (
        "{other} gives {number} {things} to {who}.",
        "{who} is handed {number} by {other}.",
        "Then {who} gets {number} from {other}.",
    ),
    "join": (
        "{other} gives {who} all the {things} that {other} has.",
        "{who} is handed everything that {other} has.",
        "Then {who} gets all of {other}'s {things}.",
    ),
    "more": (
        "{who} has {number} more {things} than {other} has now.",
        "{other} now has {number} fewer {things} than {who}.",
        "Now {who} is ahead of {other} by {number} {things}.",
    ),
    "fewer": (
        "{who} has {number} fewer {things} than {other} has now.",
        "{other} now has {number} more {things} than {who}.",
        "Now {who} is behind {other} by {number} {things}.",
    ),
    "times": (
        "{who} has {times} as many {things} as {other} has now.",
        "For each of the {things} that {other} has now, {who} has {number}.",
        "What {who} has is {times} what {other} has now.",
    ),
    "share": (
        "{other} now has {times} as many {things} as {who}.",
        "For every {number} {things} that {other} has now, {who} has one.",
        "{who} has {part} of the number that {other} has now.",
    ),
}

# How a step tells it: one of the clauses of its kind, in one of the sentences.
CLAUSES: Mapping[Kind, Sequence[str]] = {
    "gain": (
        "{who} gains {number}",
        "{number} more come to {who}",
        "we add {number} for {who}",
        "{who} gets another {number}",
    ),
    "lose": (
        "{who} is without {number}",
        "{number} are gone from {who}",
        "we take {number} off for {who}",
        "{who} has lost {number}",
    ),
    "give": (
        "{who} parts with {number} for {other}",
        "{number} go from {who} to {other}",
        "we move {number} from {who} on to {other}",
        "{other} is given {number} by {who}",
    ),
    "take": (
        "{who} receives {number} from {other}",
        "{number} come from {other} to {who}",
        "we move {number} from {other} over to {who}",
        "{other} leaves {number} to {who}",
    ),
    "join": (
        "{who} receives the {number} of {other}",
        "all {number} of {other} go to {who}",
        "we put the {number} of {other} with those of {who}",
        "{other} leaves all {number} to {who}",
    ),
    "more": (
        "{who} has {number} more than {other}",
        "{other} is {number} short of {who}",
        "we add {number} to what {other} has for {who}",
        "{who} is {number} ahead of {other}",
    ),
    "fewer": (
        "{who} has {number} fewer than {other}",
        "{other} has {number} beyond {who}",
        "we take {number} from what {other} has for {who}",
        "{who} is {number} behind {other}",
    ),
    "times": (
        "{who} has {times} what {other} has",
        "{other} has one where {who} has {number}",
        "we multiply what {other} has by {number} for {who}",
        "{who} has {number} for each of {other}",
    ),
    "share": (
        "{who} has {part} of what {other} has",
        "{other} has {number} where {who} has one",
        "we divide what {other} has by {number} for {who}",
        "{who} has one for every {number} of {other}",
    ),
}
SENTENCES = (
    "{clause}: {left} {sign} {right} = {result}.",
    "{clause}, and {left} {sign} {right} = {result}.",
    "As {clause}, we get {left} {sign} {right} = {result} {things}.",
    "Now {left} {sign} {right} = {result}, for {clause}.",
)
WORDINGS = len(SENTENCES) * min(map(len, CLAUSES.values()))
