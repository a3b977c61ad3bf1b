"""Lines of JSON that nobody meant to write: rows of every layout with something changed, added, cut or doubled."""

import json
import random
from collections.abc import Iterator


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "add"}}]},
    {"role": "tool", "content": "4", "tool_call_id": "1"},
    {"role": "assistant", "content": [{"type": "text", "text": "4"}], "reasoning_content": "Two and two."},
]
ROWS = (
    {"question": "2 + 2?", "steps": ["Two and two", "is four."], "answer": "4", "id": 7, "tags": ["a", {"b": 1.5}]},
    {"question": "2 + 2?", "reasoning": "Two and two\nis four.", "answer": 4},
    {"query": "2 + 2?", "response": "Two and two.\nThe answer is: 4"},
    {"problem": "2 + 2?", "solution": "So $x = \\boxed{4}$.", "answer": "4", "level": "1"},
    {"instruction": "Add.", "input": "2 and 2", "output": "<think>2 + 2</think>So **4**.", "system": "Be brief."},
    {"question": "2 + 2?", "context": "Numbers.", "choices": ["3", "4"], "answer": 1, "steps": []},
    {"question": "2 + 2?", "choices": {"text": ["3", "4"], "label": ["A", "B"]}, "answerKey": "B", "steps": ["x"]},
    {"messages": CHAT, "tools": []},
    {"messages": json.dumps(CHAT[1:2] + CHAT[-1:])},
    {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "Two.\n</think>4"}]},
    {"prompt": CHAT[1:2], "completion": [{"role": "assistant", "content": "a\n#### 4"}]},
    {"prompt": "2 + 2?", "completion": "a\n#### 4"},
)
NAMES = (
    *("question", "prompt", "input", "context", "system", "choices", "options", "hint", "image", "tools", "steps"),
    *("reasoning", "thinking", "response", "completion", "answer", "answerKey", "messages", "conversations", "row"),
    *("codes", "prompt_ids", "step_lengths", "Question", "role", "content", "from", "value", "", "\x00", "a.b", "ü"),
)
TEXTS = (
    *("", " ", "\n", r"\ud83d", r"x \udc00 y", r"\ud83d\ude00", r"\u0000", r"\ufeff", r"\u2028", r"\ue0000\ue001"),
    *("<think>", "</think>", "#### ", "####", r"\\boxed{", r"\\boxed{}", "The answer is: ", "**", "$$", "A)", "[{"),
)
VALUES = (
    *("null", "true", "NaN", "Infinity", "-Infinity", "1e999", "-0.0", "9" * 4301, "9" * 40, "7", "[]", "{}"),
    *("[" * depth + "]" * depth for depth in (3, 90, 101, 400, 960, 990, 5000)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (3, 99, 101, 500, 980)),
    *('{"text": [1, null], "label": ["A"]}', '{"type": "image_url"}', "[null]", '[["a"], 1]', '{"a": 1, "a": 2}'),
)


def malformed_lines(count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` lines, the same ones for the same seed; some of them are well-formed after all."""
    draw = random.Random(seed)
    for _ in range(count):
        line = _written(_changed(draw.choice(ROWS), draw), draw).encode("utf-8", "surrogatepass")
        for _ in range(draw.choice((0, 0, 0, 0, 1, 2))):
            line = _damaged(line, draw)
        yield line.replace(b"\n", b" ")


def _changed(value: object, draw: random.Random) -> object:
    """Return a value with some of what it holds replaced; ``str`` within ``tuple`` stands for raw JSON."""
    if draw.random() < 0.06:
        return (draw.choice((*VALUES, *(f'"{text}"' for text in TEXTS))),)
    if isinstance(value, dict):
        made = {name: _changed(inner, draw) for name, inner in value.items() if draw.random() > 0.03}
        if draw.random() < 0.15:
            made[draw.choice(NAMES)] = _changed(draw.choice((None, "x", 7, ["x"], {"x": "y"})), draw)
        return made
    if isinstance(value, list):
        return [_changed(inner, draw) for inner in value for _ in range(draw.choice((1,) * 20 + (0, 2)))]
    return value


def _written(value: object, draw: random.Random) -> str:
    """Return a value as JSON, now and then with a name twice."""
    if isinstance(value, tuple):
        return value[0]
    if isinstance(value, dict):
        pairs = [*value.items(), *draw.sample([*value.items()], int(bool(value) and draw.random() < 0.03))]
        return "{" + ", ".join(f"{json.dumps(name)}: {_written(inner, draw)}" for name, inner in pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_written(inner, draw) for inner in value) + "]"
    if isinstance(value, str) and draw.random() < 0.05:
        at = draw.randint(0, len(value))
        return f"{json.dumps(value[:at])[:-1]}{draw.choice(TEXTS)}{json.dumps(value[at:])[1:]}"
    return json.dumps(value)


def _damaged(line: bytes, draw: random.Random) -> bytes:
    """Return a line with a byte or two changed, a part cut out or doubled, or something before or after it."""
    at, end = sorted((draw.randint(0, len(line)), draw.randint(0, len(line))))
    return draw.choice(
        (
            line[:at] + bytes([draw.randrange(256)]) + line[at + 1 :],
            line[:at] + line[min(end, at + 3) :],
            line[:at] + line[at:end] * 2 + line[end:],
            line[:at],
            b"\xef\xbb\xbf" + line,
            line + b"\r",
            line[:at] + b"\xed\xa0\xbd" + line[at:],
            b"[" + line + b"]",
            line.decode("utf-8", "replace").encode("utf-16"),
        )
    )
