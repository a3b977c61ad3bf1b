"""Files of rows that are odd as a whole: JSON Lines, JSON, Parquet, dataset folders."""

import datetime
import decimal
import gzip
import io
import json
import random
import struct
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyarrow import parquet

from tests.faults.tries import CONVERT, OUT, Try, flipped


ROW = {"question": "2 + 2?", "steps": ["Two and two"], "answer": "4"}
LINE = json.dumps(ROW).encode()
LINES = b"".join(LINE.replace(b"2 +", b"%d +" % number) + b"\n" for number in range(6))
LIST = b"[" + LINES.strip().replace(b"\n", b",\n") + b"]"
Refused, Fine, Either = "refused", "fine", "either"


def _with(text: str) -> bytes:
    """Return a row with a raw value in a column of its own."""
    return LINE[:-1] + b', "own": ' + text.encode() + b"}"


def line_files() -> Iterator[tuple[str, bytes, str, int | None]]:
    """Yield kind, content, what is wanted, and the rows where it is fine."""
    yield "plain", LINES, Fine, 6
    yield "empty", b"", Refused, None
    yield "blank lines", b"\n \n\t\r\n", Refused, None
    yield "a byte order mark alone", b"\xef\xbb\xbf", Refused, None
    yield "a byte order mark", b"\xef\xbb\xbf" + LINES, Fine, 6
    yield "no last line end", LINES[:-1], Fine, 6
    yield "CR LF", LINES.replace(b"\n", b"\r\n"), Fine, 6
    yield "CR", LINES.replace(b"\n", b"\r"), Either, 6
    yield "UTF-16", LINES.decode().encode("utf-16"), Refused, None
    yield "UTF-16, big end", LINES.decode().encode("utf-16-be"), Refused, None
    yield "UTF-32", LINES.decode().encode("utf-32"), Refused, None
    yield "Latin-1", LINES.replace(b"Two", b"Zw\xf6lf"), Refused, None
    yield "zeros at the end", LINES + bytes(4096), Refused, None
    yield "zeros", bytes(4096), Refused, None
    yield "gzip", gzip.compress(LINES, mtime=0), Refused, None
    yield "a long line", LINES + LINE.replace(b"Two", b"Two " * 1_000_000) + b"\n", Fine, 7
    yield "a long name", LINES + LINE[:-1] + b', "' + b"n" * 3_000_000 + b'": 1}\n', Fine, 7
    yield "many columns", LINES + json.dumps({**ROW, **{f"c{n}": n for n in range(50_000)}}).encode() + b"\n", Fine, 7
    yield "many steps", LINES + json.dumps({**ROW, "steps": ["x"] * 300_000}).encode() + b"\n", Fine, 7
    yield "brackets without end", LINES + b"[" * 1_000_000 + b"\n", Refused, None
    yield "brackets", LINES + _with("[" * 100_000 + "]" * 100_000), Refused, None
    yield "quotes without end", LINES + b'{"question": "' + b'\\"' * 500_000, Refused, None
    yield "digits", LINES + _with("1" * 1_000_000), Refused, None
    yield "a list", LIST, Refused, None
    yield "CSV", b"question,steps,answer\na,b,c\n", Refused, None


def list_files() -> Iterator[tuple[str, bytes, str, int | None]]:
    """Yield the same of .json files."""
    yield "plain", LIST, Fine, 6
    yield "a byte order mark", b"\xef\xbb\xbf" + LIST, Fine, 6
    yield "empty", b"", Refused, None
    yield "blank", b" \n", Refused, None
    yield "an empty list", b"[]", Refused, None
    yield "an object", LINE, Refused, None
    yield "a number", b"7", Refused, None
    yield "a list in a list", b"[" + LIST + b"]", Refused, None
    yield "lines", LINES, Refused, None
    yield "cut", LIST[:-3], Refused, None
    yield "a comma", LIST[:-1] + b",]", Refused, None
    yield "UTF-16", LIST.decode().encode("utf-16"), Refused, None
    yield "no UTF-8", LIST.replace(b"Two", b"\xff"), Refused, None
    yield "a control character", LIST.replace(b"Two", b"\x00"), Refused, None
    yield "brackets without end", b"[" * 200_000, Refused, None
    yield "brackets", b"[" * 200_000 + b"]" * 200_000, Refused, None
    yield "objects", b'[{"a":' * 100_000 + b"1" + b"}]" * 100_000, Refused, None
    for kind, value in BAD_VALUES.items():
        yield kind, LIST[:-1] + b"," + _with(value) + b"]", Refused, None


BAD_VALUES = {
    "nested deep": "[" * 100_000 + "]" * 100_000,
    "nested 101": "[" * 101 + "]" * 101,
    "digits": "8" * 5000,
    "half of a character": r'"\ud83d"',
    "a name twice": '{"a": 1, "a": 2}',
}


def _table(**columns: object) -> pa.Table:
    own = {
        name: value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.array(value)
        for name, value in columns.items()
    }
    rows = len(next(iter(own.values()))) if own else 2
    plain = {"question": [f"{n} + 2?" for n in range(rows)], "steps": [["x"]] * rows, "answer": ["4"] * rows}
    return pa.table({**plain, **own})


def _stored(table: pa.Table, **settings: object) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, **settings)
    return sink.getvalue()


def _raw_text(*texts: bytes) -> pa.Array:
    """Return a column of strings that are no UTF-8."""
    return (
        pa.array(list(texts), pa.binary()).view(pa.string())
        if False
        else pa.Array.from_buffers(
            pa.string(),
            len(texts),
            [None, pa.array(_ends(texts), pa.int32()).buffers()[1], pa.py_buffer(b"".join(texts))],
        )
    )


def _ends(texts: tuple[bytes, ...]) -> list[int]:
    ends = [0]
    for text in texts:
        ends.append(ends[-1] + len(text))
    return ends


def _struct_twice() -> pa.Array:
    return pa.StructArray.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"])


def _deep(depth: int) -> pa.Array:
    kind = pa.int8()
    for _ in range(depth):
        kind = pa.list_(kind)
    return pa.nulls(2, kind)


def _stamps(values: list[int], unit: str, zone: str | None = None) -> pa.Array:
    return pa.array(values, pa.int64()).cast(pa.timestamp(unit, zone))


PARQUET: dict[str, tuple[Callable[[], bytes], str]] = {
    "plain": (lambda: _stored(_table()), Fine),
    "string views": (lambda: _stored(_table(question=pa.array(["a?", "b?"], pa.string_view()))), Fine),
    "large strings": (lambda: _stored(_table(question=pa.array(["a?", "b?"], pa.large_string()))), Fine),
    "a dictionary": (lambda: _stored(_table(question=pa.array(["a?", "b?"]).dictionary_encode())), Fine),
    "steps in a dictionary": (
        lambda: _stored(_table(steps=pa.array([["a"], ["b"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))))),
        Either,
    ),
    "large lists": (lambda: _stored(_table(steps=pa.array([["a"], ["b"]], pa.large_list(pa.large_string())))), Fine),
    "lists of a fixed size": (lambda: _stored(_table(steps=pa.array([["a"], ["b"]], pa.list_(pa.string(), 1)))), Fine),
    "bytes": (lambda: _stored(_table(question=[b"a?", b"b?"])), Either),
    "bytes that are no text": (lambda: _stored(_table(question=[b"\xff?", b"b?"])), Refused),
    "bytes of its own": (lambda: _stored(_table(own=[b"\xff", b"b"])), Fine),
    "bytes of a fixed size": (lambda: _stored(_table(own=pa.array([b"ab", b"cd"], pa.binary(2)))), Fine),
    "bytes in views": (lambda: _stored(_table(own=pa.array([b"ab", b"cd"], pa.binary_view()))), Fine),
    "text that is none": (lambda: _stored(_table(question=_raw_text(b"a?", b"\xff"))), Refused),
    "text that is none, of its own": (lambda: _stored(_table(own=_raw_text(b"\xed\xa0\x80", b"ok"))), Refused),
    "text that is none in a dictionary": (
        lambda: _stored(_table(own=pa.DictionaryArray.from_arrays(pa.array([0, 1]), _raw_text(b"\xff", b"ok")))),
        Refused,
    ),
    "decimals": (lambda: _stored(_table(answer=[decimal.Decimal("4.50"), decimal.Decimal("-4.00")])), Either),
    "wide decimals": (lambda: _stored(_table(own=pa.array([decimal.Decimal(10**70)] * 2, pa.decimal256(76)))), Fine),
    "dates": (lambda: _stored(_table(own=[datetime.date(1, 1, 1), datetime.date(9999, 12, 31)])), Fine),
    "dates beyond Python's": (
        lambda: _stored(_table(own=pa.array([10**7, -(10**7)], pa.int32()).cast(pa.date32()))),
        Fine,
    ),
    "milliseconds beyond Python's": (lambda: _stored(_table(own=_stamps([10**15, -(10**15)], "ms"))), Fine),
    "seconds beyond Python's": (lambda: _stored(_table(own=_stamps([10**14, 0], "ms", "UTC"))), Fine),
    "the last microsecond": (lambda: _stored(_table(own=_stamps([2**63 - 1, -(2**63)], "us"))), Fine),
    "nanoseconds": (lambda: _stored(_table(own=_stamps([1, 10**18 + 7], "ns"))), Fine),
    "a zone that is none": (lambda: _stored(_table(own=_stamps([0, 1], "us", "Mars/Olympus"))), Fine),
    "times": (lambda: _stored(_table(own=pa.array([1, 86_399_999_999_999], pa.time64("ns")))), Fine),
    "durations": (lambda: _stored(_table(own=pa.array([1, 2**62], pa.duration("ns")))), Fine),
    "long durations": (lambda: _stored(_table(own=pa.array([2**62, 1], pa.duration("s")))), Fine),
    "dates in a list": (
        lambda: _stored(_table(own=pa.array([[10**7], []], pa.list_(pa.int32())).cast(pa.list_(pa.date32())))),
        Fine,
    ),
    "dates in an object": (
        lambda: _stored(_table(own=pa.StructArray.from_arrays([_stamps([10**15, 0], "ms")], names=["when"]))),
        Fine,
    ),
    "a date as the answer": (lambda: _stored(_table(answer=[datetime.date(2024, 5, 6)] * 2)), Either),
    "objects": (lambda: _stored(_table(own=[{"a": {"b": [1, None]}}, None])), Fine),
    "maps": (lambda: _stored(_table(own=pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int8())))), Fine),
    "maps with a name twice": (
        lambda: _stored(_table(own=pa.array([[("a", 1), ("a", 2)], []], pa.map_(pa.string(), pa.int8())))),
        Fine,
    ),
    "an object with a name twice": (lambda: _stored(_table(own=_struct_twice())), Refused),
    "columns of one name": (
        lambda: _stored(
            pa.Table.from_arrays(
                [pa.array(["a?"]), pa.array(["b?"]), pa.array(["4"])], ["question", "question", "answer"]
            )
        ),
        Refused,
    ),
    "own columns of one name": (
        lambda: _stored(_table().append_column("own", pa.array([1, 2])).append_column("own", pa.array([3, 4]))),
        Refused,
    ),
    "a name with NUL": (lambda: _stored(_table().append_column("a\0b", pa.array([1, 2]))), Refused),
    "a name of nothing": (lambda: _stored(_table().append_column("", pa.array([1, 2]))), Fine),
    "nested 101": (lambda: _stored(_table(own=_deep(101))), Either),
    "nested 300": (lambda: _stored(_table(own=_deep(300))), Either),
    "nulls": (lambda: _stored(pa.table({name: pa.nulls(3) for name in ROW})), Refused),
    "null answers": (lambda: _stored(_table(answer=pa.nulls(2, pa.string()))), Refused),
    "nulls of its own": (lambda: _stored(_table(own=pa.nulls(2))), Fine),
    "floats": (lambda: _stored(_table(own=pa.array([float("nan"), float("inf")], pa.float32()))), Fine),
    "short floats": (lambda: _stored(_table(own=pa.array([1.5, 2.5], pa.float16()))), Fine),
    "an infinite answer": (lambda: _stored(_table(answer=[float("inf"), 4.0])), Refused),
    "large numbers": (lambda: _stored(_table(answer=pa.array([2**64 - 1, 0], pa.uint64()))), Fine),
    "a UUID": (lambda: _stored(_table(own=pa.array([b"0" * 16] * 2, pa.uuid()))), Fine),
    "JSON": (lambda: _stored(_table(own=pa.array(["{}", "[1]"], pa.json_()))), Either),
    "no columns": (lambda: _stored(pa.table({}).select([])), Refused),
    "no rows": (lambda: _stored(_table().slice(0, 0)), Refused),
    "no row groups": (lambda: _no_groups(), Refused),
    "many row groups": (lambda: _stored(_table(), row_group_size=1), Fine),
    "zstd": (lambda: _stored(_table(), compression="zstd"), Fine),
    "old": (lambda: _stored(_table(), version="1.0", data_page_version="1.0"), Fine),
    "empty": (lambda: b"", Refused),
    "the marks alone": (lambda: b"PAR1" + struct.pack("<I", 0) + b"PAR1", Refused),
    "a footer of noise": (lambda: b"PAR1" + bytes(range(200)) + struct.pack("<I", 200) + b"PAR1", Refused),
    "a footer beyond the file": (lambda: b"PAR1" + struct.pack("<I", 2**31) + b"PAR1", Refused),
    "an encrypted footer": (lambda: b"PARE" + bytes(100) + struct.pack("<I", 100) + b"PARE", Refused),
    "lines": (lambda: LINES, Refused),
    "Arrow": (lambda: _arrow(_table()), Refused),
}


def _no_groups() -> bytes:
    sink = io.BytesIO()
    parquet.ParquetWriter(sink, _table().schema).close()
    return sink.getvalue()


def _arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


_UNKNOWN = ("maps", "maps with a name twice", "a UUID")  # to the datasets library
FOLDERS: dict[str, tuple[Callable[[], dict[str, bytes]], str]] = {
    "lines": (lambda: {"train.jsonl": LINES}, Fine),
    "no file": (lambda: {"README.txt": b"nothing"}, Refused),
    "a script": (lambda: {"data.py": b"open('/tmp/mixlm-was-here', 'w')\nraise SystemExit\n"}, Refused),
    "other columns": (lambda: {"train-0.jsonl": LINES, "train-1.jsonl": b'{"x": 1}\n'}, Either),
    "no UTF-8": (lambda: {"train.jsonl": LINES.replace(b"Two", b"\xff")}, Refused),
    "deep": (lambda: {"train.jsonl": _with("[" * 100_000 + "]" * 100_000)}, Refused),
    "half of a character": (lambda: {"train.jsonl": LINES + _with(r'"\ud800"')}, Refused),
    "another split": (lambda: {"test.jsonl": LINES}, Refused),
    "YAML of the card": (lambda: {"train.jsonl": LINES, "README.md": b"---\nconfigs: [&a [*a]]\n---\n"}, Either),
    "saved by datasets": (lambda: {"state.json": b"{}", "dataset_info.json": b"{}"}, Refused),
    "CSV": (lambda: {"train.csv": b"question,reasoning,answer\na?,b,4\n"}, Fine),
    "CSV with columns of one name": (
        lambda: {"train.csv": b"question,question,reasoning,answer\na?,c?,b,4\n"},
        Either,
    ),
    "texts": (lambda: {"train.txt": b"a\nb\n"}, Refused),
    **{
        f"Parquet: {kind}": (lambda make=make: {"train.parquet": make()}, Either if kind in _UNKNOWN else wanted)
        for kind, (make, wanted) in PARQUET.items()
    },
}


def data_tries() -> Iterator[Try]:
    """Yield a call of conversion for every kind of file, and of other commands for some."""
    for suffix, found in (("jsonl", line_files()), ("json", list_files())):
        for kind, content, wanted, rows in found:
            yield Try(
                f".{suffix}: {kind}", {f"f.{suffix}": content}, (*CONVERT, f"f.{suffix}", *OUT), wanted, rows=rows
            )
            yield from _asked(f".{suffix}: {kind}", f"f.{suffix}", content, wanted)
    for kind, value in BAD_VALUES.items():
        for name, content in ("f.json", LIST[:-1] + b"," + _with(value) + b"]"), ("f.jsonl", LINES + _with(value)):
            call = (*CONVERT, name, "--skip-bad-rows", *OUT)
            yield Try(f"{name}, left out: {kind}", {name: content}, call, Fine, rows=6)
    for kind, (make, wanted) in PARQUET.items():
        content = make()
        rows = 2 if wanted is Fine else None
        yield Try(f"Parquet: {kind}", {"f.parquet": content}, (*CONVERT, "f.parquet", *OUT), wanted, rows=rows)
        yield from _asked(f"Parquet: {kind}", "f.parquet", content, wanted)
        split = ("data", "split", "f.parquet", "--train", "a.jsonl", "--valid", "b.jsonl")
        yield Try(f"Parquet, split: {kind}", {"f.parquet": content}, split, Either)
    for kind, (make, wanted) in FOLDERS.items():
        files = {f"folder/{name}": content for name, content in make().items()}
        yield Try(f"folder: {kind}", files, (*CONVERT, "folder", *OUT), wanted, "folder")


def _asked(kind: str, name: str, content: bytes, wanted: str) -> Iterator[Try]:
    """Yield a call that asks the questions of a file, whose other columns may be anything."""
    loose = Either if wanted is Refused else wanted
    yield Try(f"{kind}, asked", {name: content}, ("generate", "run", "--input", name, "--print-prompt"), loose)


def damaged_data(draw: random.Random) -> Try:
    """Return a call with a file of rows some of whose bits are changed."""
    table = _table(own=[{"a": 1}, None], when=[datetime.date(2024, 1, 1)] * 2)
    contents = {
        "f.jsonl": LINES,
        "f.json": LIST,
        "f.parquet": _stored(table, compression=draw.choice(("none", "snappy"))),
    }
    name = draw.choice(("f.parquet", "f.parquet", "f.json", "f.jsonl"))
    content = flipped(contents[name], draw)
    call = draw.choice(((*CONVERT, name, *OUT), ("generate", "run", "--input", name, "--print-prompt")))
    return Try(f"damaged {name}", {name: content}, call, Either)
