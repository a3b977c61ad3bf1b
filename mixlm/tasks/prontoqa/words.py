"""Words of ProntoQA: first those of the published rows, then further ones for larger vocabularies."""

from itertools import product


PUBLISHED_CONCEPTS = 17
PUBLISHED_FAMILIES = 13
PUBLISHED_NAMES = 9

_CONCEPTS = (
    "wumpus yumpus zumpus dumpus rompus numpus tumpus vumpus impus jompus gorpus shumpus lempus sterpus grimpus "
    "lorpus brimpus"
).split()
_ONSETS = "b cl d f fl g h k kr m p pl sk sn t th v w".split()
_RHYMES = "ampus onpus ilpus".split()
_FAMILIES = (
    "blue red brown orange | small large | metallic wooden luminous liquid | transparent opaque | "
    "nervous happy feisty shy | bright dull | sweet sour spicy bitter | floral fruity earthy | hot cold temperate | "
    "kind mean angry amenable aggressive | melodic muffled discordant loud | slow moderate fast | "
    "windy sunny overcast rainy snowy | rough smooth | heavy light | round flat pointed | young old | rare common | "
    "lazy busy | striped dotted plain | hollow solid"
).split(" | ")
_NAMES = (
    "Fae Rex Sally Max Alex Sam Polly Stella Wren Ada Bob Cleo Dan Eli Gus Hal Ivy Jon Kim Lou Mia Ned Pam".split()
)

CONCEPTS: tuple[str, ...] = (*_CONCEPTS, *("".join(parts) for parts in product(_ONSETS, _RHYMES)))
"""Names of classes; all end in "us"."""

FAMILIES: tuple[tuple[str, ...], ...] = tuple(tuple(family.split()) for family in _FAMILIES)
"""Properties, in families of which a world has one property at most: nothing is both hot and cold."""

NAMES: tuple[str, ...] = tuple(_NAMES)
"""Names of those that questions ask about."""


def with_article(noun: str) -> str:
    """Return ``noun`` behind "a" or "an".

    >>> with_article("impus"), with_article("wumpus")
    ('an impus', 'a wumpus')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """Return the plural of a class.

    >>> plural("wumpus")
    'wumpuses'
    """
    return f"{noun}es"
