"""Odd places to write to and to read from, and odd surroundings of a command: what is set up before it runs."""

import ctypes
import os
import resource
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path


def drop_rights() -> None:
    """Give up what lets the system's administrator pass over permissions; for others there is nothing to give up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux" and os.geteuid() == 0:
        header, nothing = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6)
        libc.capset(header, nothing)


def small_disk(size: int) -> Callable[[], None]:
    """Return what puts an own disk of ``size`` bytes at the folder "disk", which only this process sees."""

    def mount() -> None:
        libc, new_mounts, private = ctypes.CDLL(None, use_errno=True), 0x00020000, (1 << 14) | (1 << 18)
        if libc.unshare(new_mounts) or libc.mount(None, b"/", None, private, None):
            os._exit(SKIPPED)
        if libc.mount(b"tmpfs", os.fsencode(os.path.abspath("disk")), b"tmpfs", 0, f"size={size}".encode()):
            os._exit(SKIPPED)

    return mount


SKIPPED = 77  # the exit status of a trial that cannot be made here
LONG = "n" * 300
LETTERS = "m\N{LATIN SMALL LETTER U WITH DIAERESIS} \N{CJK UNIFIED IDEOGRAPH-4E2D}\U0001f600"


def _make(folder: Path, name: str, content: bytes | None = None, mode: int | None = None) -> str:
    """Make a folder, or a file with some content; returns its name."""
    if content is None:
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes(content)
    if mode is not None:
        (folder / name).chmod(mode)
    return name


def _link(folder: Path, name: str, to: str) -> str:
    (folder / name).symlink_to(to)
    return name


def _fifo(folder: Path, name: str) -> str:
    os.mkfifo(folder / name)
    return name


OUTS: dict[str, Callable[[Path], str]] = {  # an odd place to write: what makes it, and returns its path
    "a file": lambda folder: _make(folder, "here", b"mine"),
    "an empty folder": lambda folder: _make(folder, "here"),
    "a folder with a file": lambda folder: os.path.dirname(_make(folder, _make(folder, "here") + "/mine", b"mine")),
    "through a file": lambda folder: _make(folder, "here", b"mine") + "/out",
    "deep through a file": lambda folder: _make(folder, "here", b"mine") + "/a/b/out",
    "in no folder yet": lambda folder: "a/b/c/out",
    "a name too long": lambda folder: LONG,
    "below a name too long": lambda folder: f"{LONG}/out",
    "a name that leaves no room for a draft": lambda folder: "n" * 252,
    "a path too long": lambda folder: "/".join(["n" * 200] * 25),
    "a folder that is read only": lambda folder: _make(folder, "here", mode=0o555),
    "in a folder that is read only": lambda folder: _make(folder, "here", mode=0o555) + "/out",
    "in a folder that is closed": lambda folder: _make(folder, "here", mode=0o000) + "/out",
    "a file that is read only": lambda folder: _make(folder, "here", b"mine", 0o444),
    "nothing": lambda folder: "",
    "the folder itself": lambda folder: ".",
    "the folder above": lambda folder: "..",
    "a blank": lambda folder: " ",
    "the null device": lambda folder: "/dev/null",
    "the full device": lambda folder: "/dev/full",
    "in a device": lambda folder: "/dev/null/out",
    "the kernel's": lambda folder: "/proc/out",
    "a link to nothing": lambda folder: _link(folder, "here", "nowhere"),
    "a link in a circle": lambda folder: _link(folder, "here", "here"),
    "through a link in a circle": lambda folder: _link(folder, "here", "here") + "/out",
    "a link to a file": lambda folder: _link(folder, "here", _make(folder, "file", b"mine")),
    "a link to a folder": lambda folder: _link(folder, "here", _make(folder, "place")),
    "a pipe": lambda folder: _fifo(folder, "here"),
    "letters of all": lambda folder: LETTERS,
    "a new line": lambda folder: "a\nb",
    "a control character": lambda folder: "a\x1b[31mb\x7f",
    "no UTF-8": lambda folder: os.fsdecode(b"a\xff"),
    "patterns": lambda folder: "a*[b]?{c}%s%(d)s$HOME`e`",
    "an option": lambda folder: "./--help",
    "a quote": lambda folder: 'it\'s "here"',
    "the data": lambda folder: "raw.jsonl",
    "in the run": lambda folder: "run/out",
    "the run": lambda folder: "run",
    "its record": lambda folder: "run/mixlm.json",
    "the encoded data": lambda folder: "encoded",
}

INS: dict[str, Callable[[Path], str]] = {  # an odd path to read
    "missing": lambda folder: "nowhere",
    "missing, with an ending": lambda folder: "nowhere.jsonl",
    "missing in a missing folder": lambda folder: "nowhere/a/b.json",
    "a folder": lambda folder: _make(folder, "here"),
    "a folder that looks like a file": lambda folder: _make(folder, "here.jsonl"),
    "a folder that looks like YAML": lambda folder: _make(folder, "here.yaml"),
    "a folder that looks like GGUF": lambda folder: _make(folder, "here.gguf"),
    "an empty file": lambda folder: _make(folder, "here.jsonl", b""),
    "an empty YAML": lambda folder: _make(folder, "here.yaml", b""),
    "an empty GGUF": lambda folder: _make(folder, "here.gguf", b""),
    "an empty Parquet": lambda folder: _make(folder, "here.parquet", b""),
    "a file of no kind": lambda folder: _make(folder, "here.bin", b"\x00\xff"),
    "noise in a GGUF": lambda folder: _make(folder, "here.gguf", bytes(range(256)) * 8),
    "noise in a Parquet": lambda folder: _make(folder, "here.parquet", b"PAR1" + bytes(range(256)) + b"PAR1"),
    "a closed file": lambda folder: _make(folder, "here.jsonl", b"{}", 0o000),
    "a closed YAML": lambda folder: _make(folder, "here.yaml", b"model_type: llama", 0o000),
    "a closed folder": lambda folder: _make(folder, "here", mode=0o000),
    "through a file": lambda folder: _make(folder, "here", b"mine") + "/in.jsonl",
    "a name too long": lambda folder: f"{LONG}.jsonl",
    "a folder's name too long": lambda folder: LONG,
    "a path too long": lambda folder: "/".join(["n" * 200] * 25),
    "nothing": lambda folder: "",
    "the folder itself": lambda folder: ".",
    "a blank": lambda folder: " ",
    "the null device": lambda folder: "/dev/null",
    "a link to nothing": lambda folder: _link(folder, "here.jsonl", "nowhere"),
    "a link in a circle": lambda folder: _link(folder, "here.jsonl", "here.jsonl"),
    "a link in a circle without an ending": lambda folder: _link(folder, "here", "here"),
    "letters of all": lambda folder: f"{LETTERS}.jsonl",
    "a new line": lambda folder: "a\nb.jsonl",
    "a control character": lambda folder: "a\x1b[31mb",
    "no UTF-8": lambda folder: os.fsdecode(b"a\xff"),
    "patterns": lambda folder: "*[b]?{c}%s$HOME",
    "an address": lambda folder: "https://example.invalid/a.jsonl",
    "no name of the Hub": lambda folder: "a/b/c/d",
    "a name of the Hub": lambda folder: "nobody/nothing",
    "a run": lambda folder: "run",
    "an encoded dataset": lambda folder: "encoded",
    "a stage-1 model": lambda folder: "encoded/vqvae",
    "weights": lambda folder: "run/model.safetensors",
    "rows": lambda folder: "raw.jsonl",
    "a shard": lambda folder: "encoded/train-00000.parquet",
    "a scratch model": lambda folder: "model.yaml",
}


def _limit(kind: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (most, most))


def _close(*streams: int) -> Callable[[], None]:
    return lambda: [os.close(stream) for stream in streams]


def _onto(path: str, flags: int, *streams: int) -> Callable[[], None]:
    return lambda: [os.dup2(os.open(path, flags), stream) for stream in streams]


def _closed_pipe(stream: int) -> Callable[[], None]:
    """Return what makes a stream a pipe that nobody reads any more."""

    def make() -> None:
        there, here = os.pipe()
        os.dup2(here, stream)
        os.close(there)

    return make


def _no_folder() -> None:
    """Be in a folder that is not there any more."""
    place = Path("gone")
    place.mkdir()
    os.chdir(place)
    Path("../gone").rmdir()


def _read_only() -> None:
    drop_rights()
    os.chmod(".", 0o555)


AROUND: dict[str, Callable[[], object]] = {  # set up in the process of the command
    "as ever": lambda: None,
    "64 descriptors": _limit(resource.RLIMIT_NOFILE, 64),
    "32 descriptors": _limit(resource.RLIMIT_NOFILE, 32),
    "16 descriptors": _limit(resource.RLIMIT_NOFILE, 16),
    "files of 1,000 bytes": _limit(resource.RLIMIT_FSIZE, 1_000),
    "files of 10,000 bytes": _limit(resource.RLIMIT_FSIZE, 10_000),
    "files of 60,000 bytes": _limit(resource.RLIMIT_FSIZE, 60_000),
    "files of 200,000 bytes": _limit(resource.RLIMIT_FSIZE, 200_000),
    "a disk of 4 KB": small_disk(4_096),
    "a disk of 64 KB": small_disk(65_536),
    "a disk of 256 KB": small_disk(262_144),
    "a disk of 1 MB": small_disk(1_048_576),
    "a folder that is gone": _no_folder,
    "a folder that is read only": _read_only,
    "no rights to make files": lambda: os.umask(0o777) and None,
}

STREAMS: dict[str, Callable[[], object]] = {  # set up before the process of the command begins
    "no standard input": _close(0),
    "no standard output": _close(1),
    "no standard error": _close(2),
    "no streams": _close(0, 1, 2),
    "output to nobody": _closed_pipe(1),
    "errors to nobody": _closed_pipe(2),
    "output to a full disk": _onto("/dev/full", os.O_WRONLY, 1),
    "output to what can only be read": _onto("/dev/null", os.O_RDONLY, 1),
}


def place(kind: str) -> Callable[[Path], str]:
    """Return what makes a place of some kind for a variable, and returns its path."""
    makers: dict[str, Callable[[Path], str]] = {
        "missing": lambda folder: str(folder / "nowhere"),
        "a file": lambda folder: str(folder / _make(folder, "occupied", b"mine")),
        "read only": lambda folder: str(folder / _make(folder, "occupied", mode=0o555)),
        "closed": lambda folder: str(folder / _make(folder, "occupied", mode=0o000)),
        "through a file": lambda folder: str(folder / _make(folder, "occupied", b"mine") / "home"),
        "relative": lambda folder: "nowhere",
        "nothing": lambda folder: "",
        "a name too long": lambda folder: f"/tmp/{LONG}",
        "the null device": lambda folder: "/dev/null",
    }
    return makers[kind]


PLACES = ("missing", "a file", "read only", "closed", "through a file", "relative", "nothing", "a name too long")
PLACED = ("HOME", "TMPDIR", "HF_HOME", "XDG_CACHE_HOME", "HF_DATASETS_CACHE")
VARIABLES: dict[str, dict[str, str | None]] = {  # None: not set
    "LANG=C": {"LANG": "C", "LC_ALL": None},
    "LC_ALL=POSIX": {"LC_ALL": "POSIX"},
    "no UTF-8 at all": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII output": {"PYTHONIOENCODING": "ascii"},
    "Latin-1 output": {"PYTHONIOENCODING": "latin-1"},
    "an unknown locale": {"LC_ALL": "xx_YY.UTF-9"},
    "no HOME": {"HOME": None},
    "no names at all": {"HOME": None, "USER": None, "LOGNAME": None, "PATH": None, "TMPDIR": None, "LANG": None},
    "one column": {"COLUMNS": "1", "LINES": "1"},
    "no column": {"COLUMNS": "0"},
    "columns that are no number": {"COLUMNS": "many"},
    "a dumb terminal": {"TERM": "dumb"},
    "a terminal of no kind": {"TERM": "nothing-like-it"},
    "threads that are no number": {"OMP_NUM_THREADS": "many"},
    "a rank that is no number": {"RANK": "first", "WORLD_SIZE": "2"},
    "no other processes": {"WORLD_SIZE": "0"},
    "a GPU that is not there": {"CUDA_VISIBLE_DEVICES": "99"},
    "warnings shown": {"PYTHONWARNINGS": "default"},
    "optimized": {"PYTHONOPTIMIZE": "2"},
    "no bytecode": {"PYTHONDONTWRITEBYTECODE": "1"},
    "time zone": {"TZ": "Nowhere/Nothing"},
}


def reopen(folder: Path) -> None:
    """Give back the rights to a folder and all in it, so that it can be removed."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
