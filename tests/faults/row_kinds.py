"""Rows of JSON Lines of which it is known whether they are well-formed, what they say, and where they are not.

A row begins as one of ``LAYOUTS``, whose plain form is known. Then something is done to it that changes nothing, or
that makes it malformed in one known place.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


Plain = tuple[str, list[str], str]  # question, steps, answer


class Row(NamedTuple):
    """One line of a file.

    Attributes:
        line: Its bytes, without the end of the line.
        kind: What was done to it.
        plain: What it says; None: it is malformed.
        field: Where it is malformed, as an error must name it; "" where no column can be named.
        told: Whether it is known at all what it says: a changed bit may leave anything.
    """

    line: bytes
    kind: str
    plain: Plain | None
    field: str = ""
    told: bool = True


def _layouts(a: int, b: int) -> Iterator[tuple[dict[str, Any], Plain, tuple[tuple[Any, ...], ...]]]:
    """Yield rows of every layout, what each says, and the paths of its texts."""
    q, s, t, n = f"{a} + {b}?", f"{a} and {b}", f"make {a + b}.", str(a + b)
    steps, turns = [s, t], [{"role": "system", "content": "Be brief."}, {"role": "user", "content": q}]
    yield {"question": q, "steps": steps, "answer": n}, (q, steps, n), (("question",), ("steps", 1), ("answer",))
    yield (
        {"question": q, "reasoning": f"{s}\n{t}", "answer": a + b},
        (q, steps, n),
        (("question",), ("reasoning",), ("answer",)),
    )
    yield {"query": q, "response": f"{s}\nThe answer is: {n}"}, (q, [s], n), (("query",), ("response",))
    yield (
        {"problem": q, "solution": f"{s}\n#### {n}", "level": "1"},
        (q, [s], n),
        (("problem",), ("solution",), ("level",)),
    )
    yield (
        {"instruction": q, "output": f"<think>{s}\n{t}</think>So **{n}**."},
        (q, steps, n),
        (("instruction",), ("output",)),
    )
    yield (
        {"question": q, "context": "Numbers.", "steps": steps, "answer": n},
        (f"Numbers.\n\n{q}", steps, n),
        (("question",), ("context",), ("answer",)),
    )
    yield (
        {"question": q, "choices": ["less", n], "answer": 1, "steps": []},
        (f"{q}\n\nA. less\nB. {n}", [], "B"),
        (("question",), ("choices", 1)),
    )
    last = {"role": "assistant", "content": f"<think>{s}\n{t}</think>{n}"}
    yield (
        {"messages": [turns[1], last]},
        (q, steps, n),
        (("messages", 0, "content"), ("messages", 1, "content"), ("messages", 0, "role"), ("messages",)),
    )
    yield (
        {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": f"{s}\n</think>{n}"}]},
        (q, [s], n),
        (("conversations", 0, "value"), ("conversations", 1, "value"), ("conversations", 0, "from")),
    )
    yield (
        {"prompt": turns[1:], "completion": [{"role": "assistant", "content": f"{s}\n#### {n}"}]},
        (q, [s], n),
        (("prompt", 0, "content"), ("completion", 0, "content")),
    )


class Raw(str):
    """JSON that is written as it is."""


def written(value: Any) -> str:
    """Return a value as JSON; ``Raw`` within it as it is, and a list of pairs marked by ``dict`` as an object."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)}: {written(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def _key(name: str) -> str:
    return str(name) if isinstance(name, Raw) else json.dumps(name)


def _put(row: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a row with another value at a path."""
    if not path:
        return value
    if isinstance(row, Mapping):
        return {name: _put(inner, path[1:], value) if name == path[0] else inner for name, inner in row.items()}
    return [_put(inner, path[1:], value) if place == path[0] else inner for place, inner in enumerate(row)]


def _nested(depth: int, draw: random.Random) -> Raw:
    brackets = Raw("[" * depth + "]" * depth)
    return draw.choice((brackets, Raw('{"a":' * depth + "1" + "}" * depth)))


UNREADABLE: dict[str, Callable[[random.Random], Raw]] = {  # in any place of a row, also where nobody looks at it
    "half of a character": lambda draw: Raw(draw.choice((r'"a \ud83d b"', r'"\udc00"', r'"\udbff\ud800"'))),
    "digits": lambda draw: Raw(draw.choice(("9", "-1", "10")) * 1 + "7" * draw.choice((4400, 5000, 20_000))),
    "brackets": lambda draw: _nested(draw.choice((150, 990, 3000, 100_000)), draw),
    "a name twice within": lambda draw: Raw('{"a": 1, "a": 2}'),
    "half of a character within": lambda draw: Raw(r'[{"b": ["\ud800"]}]'),
    "a name with half of a character": lambda draw: Raw(r'{"\udfff": 1}'),
}
NO_TEXT: dict[str, Callable[[random.Random], Raw]] = {  # where a text is read
    "no number": lambda draw: Raw(draw.choice(("Infinity", "-Infinity", "1e999", "-1e999"))),
    "an object": lambda draw: Raw(draw.choice(('{"a": "b"}', "[[1]]", "[[{}]]", "[null, [3]]"))),
    "a blank": lambda draw: Raw(draw.choice(('""', '" "', r'"\n\t"', r'"\u00a0"'))),
}
HARMLESS: dict[str, Callable[[random.Random], Raw]] = {  # in a column of its own
    "digits": lambda draw: Raw("-" * draw.randrange(2) + "9" * draw.choice((40, 4300))),
    "brackets": lambda draw: _nested(draw.choice((3, 90)), draw),
    "numbers": lambda draw: Raw(draw.choice(("NaN", "-0.0", "1e308", "1e999", "-Infinity", "1E-999", "0.1e1"))),
    "texts": lambda draw: Raw(draw.choice((r'"\ud83d\ude00"', r'"\u0000"', r'"\ufeff\u2028"', '"\x7f"', r'"\r"'))),
    "others": lambda draw: Raw(draw.choice(("null", "true", "{}", "[]", '[1, "a", null]', '{"": {"a.b": 1}}'))),
}
ENDS = (b"", b"\r", b" ", b"\t\r")
NOTHING = (b"{}", b"[]", b"7", b'"text"', b"null", b"nan", b"{", b"}", b"\x00", b"{'question': 'a'}", b"\x1f\x8b\x08")


def rows(count: int, seed: int) -> Iterator[Row]:
    """Yield ``count`` rows, the same ones for the same seed; about half of them are malformed."""
    draw = random.Random(seed)
    for number in range(count):
        row, plain, paths = draw.choice([*_layouts(number, draw.randrange(1000))])
        yield draw.choice((_well, _well, _well, _bad_value, _bad_value, _no_text, _bad_name, _bad_line, _flipped))(
            row, plain, paths, draw
        )


def _well(row: dict[str, Any], plain: Plain, paths: tuple, draw: random.Random) -> Row:
    kind = draw.choice(("plain", *HARMLESS, "order", "escapes", "text"))
    if kind in HARMLESS:
        row = {**row, draw.choice(("id", "extra", "", "a.b", "ü", "Level ")): HARMLESS[kind](draw)}
    if kind == "order":
        names = [*row]
        draw.shuffle(names)
        row = {name: row[name] for name in names}
    line = written(row)
    if kind == "text":  # each of which is a text, if an odd one
        odd = draw.choice((r"\u0000", r"\ud83d\ude00", r"\u2028", r"\u0085", "ü", r"\ufeff", "<|endoftext|>", "\x7f"))
        mark = "@@"
        plain_mark = json.loads(f'"{odd}"')
        question = json.dumps(plain[0].split("\n")[-1] if "Numbers" in plain[0] else plain[0].split("\n")[0])[1:-1]
        line = line.replace(f'"{question}"', f'"{question[:2]}{mark}{question[2:]}"').replace(mark, odd)
        at = plain[0].index(json.loads(f'"{question}"')) + 2
        plain = (plain[0][:at] + plain_mark + plain[0][at:], *plain[1:])
    if kind == "escapes":
        name = next(iter(row))
        line = line.replace(f'"{name}"', '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"', 1)
    start = draw.choice((b"", b"", b"", b"\xef\xbb\xbf", b"  "))
    return Row(start + line.encode() + draw.choice(ENDS), f"well: {kind}", plain)


def _bad_value(row: dict[str, Any], plain: Plain, paths: tuple, draw: random.Random) -> Row:
    kind = draw.choice([*UNREADABLE])
    value = UNREADABLE[kind](draw)
    if draw.random() < 0.3:
        name = draw.choice(("id", "extra", "tags", "level"))
        return Row(written({**row, name: value}).encode(), f"own column: {kind}", None, name)
    path = draw.choice(paths)
    return Row(written(_put(row, path, value)).encode(), kind, None, str(path[0]))


def _no_text(row: dict[str, Any], plain: Plain, paths: tuple, draw: random.Random) -> Row:
    needed = [path for path in paths if path[0] not in ("context", "level", "choices", "reasoning", "response")]
    path = draw.choice([path for path in needed if path[-1] not in ("role", "from", 1)] or needed[:1])
    kind = draw.choice([*NO_TEXT])
    return Row(written(_put(row, path, NO_TEXT[kind](draw))).encode(), kind, None, str(path[0]))


def _bad_name(row: dict[str, Any], plain: Plain, paths: tuple, draw: random.Random) -> Row:
    kind = draw.choice(("twice", "half of a character", "NUL", "missing"))
    if kind == "twice":
        name = draw.choice([*row])
        doubled = {**row, Raw(json.dumps(name) + " "): row[name]}
        return Row(written(doubled).encode(), "a name twice", None, name)
    if kind == "missing":
        name = next(iter(row))
        left = {other: value for other, value in row.items() if other != name}
        return Row(written(left).encode(), "no question", None, "")
    name, shown = {"NUL": (r'"a\u0000"', r"a\x00"), "half of a character": (r'"\ud800b"', r"\ud800b")}[kind]
    return Row(written({**row, Raw(name): 1}).encode(), f"name: {kind}", None, shown)


def _bad_line(row: dict[str, Any], plain: Plain, paths: tuple, draw: random.Random) -> Row:
    line = written(row).encode()
    at = draw.randrange(1, len(line))
    bad = draw.choice((b"\xff", b"\xc3", b"\xed\xa0\xbd", b"\xf8\x88\x80\x80\x80", b"\xc0\x80"))
    kinds = {
        "cut": line[:at],
        "no UTF-8": line[: line.index(b": ") + 3] + bad + line[line.index(b": ") + 3 :],
        "a control character": line[: line.index(b": ") + 3] + b"\x00" + line[line.index(b": ") + 3 :],
        "UTF-16": line.decode().encode("utf-16").replace(b"\n", b" "),
        "in a list": b"[" + line + b"]",
        "two objects": line + line,
        "two objects, one line by CR": line + b"\r" + line,
        "something else": draw.choice(NOTHING),
        "a comment": line + b" // or not",
        "a comma": line[:-1] + b",}",
    }
    kind = draw.choice([*kinds])
    return Row(kinds[kind], f"line: {kind}", None)


def _flipped(row: dict[str, Any], plain: Plain, paths: tuple, draw: random.Random) -> Row:
    line = bytearray(written(row).encode())
    for _ in range(draw.choice((1, 1, 2))):
        line[draw.randrange(len(line))] ^= 1 << draw.randrange(8)
    return Row(bytes(line).replace(b"\n", b" "), "flipped bits", None, told=False)
