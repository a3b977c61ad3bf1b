"""JSON files of ours that somebody has edited."""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.faults.tries import OUT, Try, flipped


VALUES = (None, True, False, -1, 0, 1.5, 10**30, "text", "", "../x", [], {}, [None], {"a": 1}, [[[]]], 2**31, 7)
RAW = ("1e999", "NaN", "9" * 5000, r'"\ud800"', "[" * 100_000 + "]" * 100_000, '{"a": 1, "a": 2}', r'"\u0000"')
_MARK = "@raw@"
TRAIN = ("train", "encoded", "--method", "cot", "--model", "model.yaml", "--steps", "1", "--batch-size", "4", *OUT)
ASK = ("generate", "run", "2 + 2 = ?", "--max-new-tokens", "2")
LEARN_LATENTS = tuple("assorted" if word == "cot" else word for word in TRAIN)
EDITED = {  # the file, by its path from the folder of all, and calls that read it
    "run/mixlm.json": (
        ASK,
        ("evaluate", "run", "raw.jsonl", "--limit", "1", "--max-new-tokens", "1"),
        ("export", "run", "--out", "exported"),
    ),
    "run/config.json": (ASK,),
    "run/generation_config.json": (ASK,),
    "run/tokenizer_config.json": (ASK,),
    "run/tokenizer.json": (ASK,),
    "run/vqvae/config.json": ((*ASK, "--explain"),),
    "run/vqvae/usage.json": ((*ASK, "--explain"),),
    "encoded/manifest.json": (
        TRAIN,
        ("evaluate", "run", "encoded", "--limit", "1", "--max-new-tokens", "1"),
    ),
    "encoded/vqvae/config.json": (
        ("encode", "raw.jsonl", "--model", "model.yaml", "--vqvae", "encoded/vqvae", "--out", "rows.out"),
    ),
    "encoded/vqvae/usage.json": (LEARN_LATENTS,),
    "encoded/tokenizer/tokenizer.json": (TRAIN,),
}


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value within a value, of long lists only of the first."""
    yield path
    if isinstance(value, Mapping):
        for name in [*value][:60]:
            yield from _paths(value[name], (*path, name))
    elif isinstance(value, list):
        for place in range(min(len(value), 2)):
            yield from _paths(value[place], (*path, place))


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, Mapping) else list(value)
    copied[path[0]] = _changed(value[path[0]], path[1:], new)
    return copied


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    copied = dict(value) if isinstance(value, Mapping) else list(value)
    if len(path) == 1:
        del copied[path[0]]
    else:
        copied[path[0]] = _without(value[path[0]], path[1:])
    return copied


def json_tries(folder: Path, draw: random.Random, count: int) -> Iterator[Try]:
    """Yield ``count`` calls, each with a file of those in ``folder`` that is edited, chosen at random.

    Before every other call it is said that the file was changed on purpose, so that its checksum does not tell.
    """
    for number in range(count):
        name = draw.choice([*EDITED])
        accept = ("check", name.partition("/")[0], "--accept") if number % 2 else ()
        made = _edited(name, (folder / name).read_bytes(), draw.choice(EDITED[name]), draw)
        yield made._replace(first=accept, kind=f"{made.kind}{' on purpose' * bool(accept)}")


def _edited(name: str, content: bytes, command: tuple[str, ...], draw: random.Random) -> Try:
    value = json.loads(content)
    path = draw.choice([*_paths(value)])
    kind = draw.choice(("value", "value", "value", "value", "raw", "gone", "flip", "file"))
    what = f"{name}: {'/'.join(map(str, path))[:60]}"
    if kind == "flip":
        return Try(f"{name}: damaged", {name: flipped(content, draw)}, command, "either")
    if kind == "file":
        files = {"empty": b"", "a list": b"[]", "null": b"null", "UTF-16": content.decode().encode("utf-16")}
        files |= {"NUL": bytes(len(content)), "a mark": b"\xef\xbb\xbf" + content, "cut": content[: len(content) // 2]}
        chosen = draw.choice([*files])
        return Try(f"{name}: {chosen}", {name: files[chosen]}, command, "either")
    if kind == "gone" and path:
        return Try(f"{what} gone", {name: json.dumps(_without(value, path)).encode()}, command, "either")
    if kind == "raw":
        raw = draw.choice(RAW)
        text = json.dumps(_changed(value, path, _MARK)).replace(json.dumps(_MARK), raw)
        return Try(f"{what} = {raw[:30]}", {name: text.encode()}, command, "either")
    new = draw.choice(VALUES)
    return Try(f"{what} = {new!r}", {name: json.dumps(_changed(value, path, new)).encode()}, command, "either")
