r"""Where the reasoning of a text ends: the tags that models put around thoughts, and the marks of a turn's end."""

import re
from collections.abc import Iterable, Sequence

from mixlm.data.texts.marks import Mark


# what opens a thought may be missing: some chat templates write it into the prompt
_NAMED = (
    r"<{0}(?:(?:(?!no_)\w+[:_])?think(?:ing|_(?!o(?:n|ff)\b)\w+)?|thoughts?|reasoning|scratch_?pad)>"
    r"|\[{0}think(?:ing)?\]|◁{0}think(?:ing)?▷"
)
_TOKENS = {  # with what closes them
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
    "<start_working_out>": "<end_working_out>",
    "<|channel>thought": "<channel|>",
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}
THOUGHT_BEGIN = f"(?i:{_NAMED.format('')}|{'|'.join(map(re.escape, _TOKENS))})"
"""Regular expression of what opens a thought, without groups."""
THOUGHT_END = f"(?i:{_NAMED.format('/')}|{'|'.join(map(re.escape, _TOKENS.values()))})"
"""Regular expression of what closes one."""
_OPENS = {closing.lower(): opening.lower() for opening, closing in _TOKENS.items()}
_CLOSES = {opening.lower(): closing for opening, closing in _TOKENS.items()}
_TAG = re.compile(f"(?P<begin>{THOUGHT_BEGIN})|{THOUGHT_END}")
_TURN = re.compile(r"<\|end\|>|<\|start\|>assistant|<\|channel\|>\w+<\|message\|>")  # between thoughts in channels
_SPOKEN = re.compile(r"\s*here is my thought process:(.*)here is my response:", re.IGNORECASE | re.DOTALL)
_END = re.compile(  # of a model's turn
    r"(?:<\|(?:im_end|return|eo[tms](?:_id)?|end(?:_?of_?(?:text|turn|sentence|solution)(?:_token)?|_response)?)\|>"
    r"|<end_of_turn>|<turn\|>|</s>|<eos>|\[EOS\]|<｜end▁of▁sentence｜>)\Z",
    re.IGNORECASE,
)
_LONGEST_END = 30  # characters, of them
ANSWER_TAGS = "solution|final|response|output|conclusion"  # of an answer, as a pattern
_OPENED = re.compile(  # what opens a tag of any name
    r"[<\[]\|?(?:(?:begin|start)_(?:of_)?)?([a-z][\w:-]*?)(?:_begin|_start)?[\s|>\]=]", re.IGNORECASE
)
_CLOSED = re.compile(  # what closes one
    r"(?:</|<\|/|\[/|<\|?end_(?:of_)?|<\|(?=\w+_end\|))([a-z][\w:-]*?)(?:_end)?\|?[>\]]", re.IGNORECASE
)
_NO_THOUGHT = frozenset(  # markup, and what answers and turns stand in
    "a abbr article b body br center code dd del details div dl dt em figure font footer h1 h2 h3 h4 h5 h6 head "
    "header html i img ins li main math mark ol p pre q s section small span strong sub summary sup svg table tbody "
    "td th thead tr tt u ul url quote tex latex asy hide color size list spoiler align left right justify attachment "
    "youtube answer final_answer sentence text turn header_id im message box "
    f"{ANSWER_TAGS.replace('|', ' ')}".split()
)


def split_thought(text: str) -> tuple[str | None, str]:
    """Return the reasoning of a text, None if no tag tells it, and the text after it without marks of its end.

    All before the last closing tag is reasoning; tags within it are left out. Where there are tags of several kinds,
    that is the kind that begins the text, else one that is closed and never opened, for the prompt may have opened it,
    else the first: the others are spoken of. Thoughts may follow one another.

    Raises:
        ValueError: If a tag opens and does not close, as where a response was cut off.
    """
    text = unended(text)
    if spoken := _SPOKEN.match(text):
        return spoken[1], text[spoken.end() :]
    thoughts: list[str] = []
    place, left = 0, [*_TAG.finditer(text)]
    while left and (not thoughts or not text[place : left[0].start()].strip() and left[0]["begin"]):
        tags = _of_one_thought(left, not text[place : left[0].start()].strip())
        if tags[-1]["begin"]:
            raise ValueError(f"opens {tags[-1][0]} and never closes it, as if it were cut off; leave the row out")
        thoughts.append(_without(tags, text[place : tags[-1].start()]))
        place = tags[-1].end()
        left = [tag for tag in left if tag.start() >= place]
    return "\n".join(thoughts) if thoughts else None, text[place:]


def thought_in(text: str) -> str | None:
    """Return what a text reasons before a closing tag; None if nothing is closed there."""
    try:
        return split_thought(text)[0]
    except ValueError:
        return None


def _of_one_thought(tags: Sequence[re.Match[str]], begins: bool) -> list[re.Match[str]]:
    """Return those tags, of several kinds, that are a thought's, and not spoken of.

    Args:
        tags: The tags of a text.
        begins: Whether the first of them begins it.
    """
    kinds: dict[str, list[re.Match[str]]] = {}
    for tag in tags:
        name = tag[0].lower()
        kinds.setdefault(name if tag["begin"] else _OPENS.get(name, name.replace("/", "", 1)), []).append(tag)
    first = next(iter(kinds.values()))
    closed = [own for own in kinds.values() if not all(tag["begin"] for tag in own)]
    return first if begins or not closed else min(closed, key=lambda own: bool(own[0]["begin"]))


def unended(text: str) -> str:
    """Return a text without the marks of a turn's end at its own."""
    bare = text.rstrip()
    while end := _END.search(bare, max(0, len(bare) - _LONGEST_END)):
        if end[0].lower() == "</s>" and "<s>" in bare[bare.rfind("\n") + 1 :]:
            break  # it strikes out what stands there
        text = bare = bare[: end.start()].rstrip()
    return text


def _without(tags: Iterable[re.Match[str]], text: str) -> str:
    """Return a thought without its tags."""
    for name in {tag[0] for tag in tags}:
        text = text.replace(name, "\n")
    return _TURN.sub("\n", text)


def closing_tag(opening: str) -> str:
    """Return what closes a thought, given what opens it.

    >>> closing_tag("<think>"), closing_tag("<|START_THINKING|>")
    ('</think>', '<|END_THINKING|>')
    """
    return _CLOSES.get(opening.lower()) or f"{opening[0]}/{opening[1:]}"


def unknown_tag(text: str, mark: Mark | None) -> str | None:
    """Return the closing tag, of no known kind, of what a text begins with, if its answer is not marked behind it."""
    closed = {tag[1].lower(): tag for tag in _CLOSED.finditer(text) if tag[1].lower() not in _NO_THOUGHT}
    opened: dict[str, int] = {}
    for tag in _OPENED.finditer(text) if closed else ():
        opened.setdefault(tag[1].lower(), tag.start())
    last, first = len(text.rstrip()), len(text) - len(text.lstrip())
    for name, tag in closed.items():
        answered = tag.end() >= last or (mark and mark.start > tag.start())
        if not answered and opened.get(name, first) <= first:  # the prompt may have opened one that is not opened here
            return tag[0]
    return None
