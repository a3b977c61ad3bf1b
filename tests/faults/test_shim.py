"""The shim counts what a process does to files, and files that appear whole do so at every one of its numbers."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.changes import read_changes
from tests.faults.forks import build_shim, environment


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the shim is one of Linux")
ROOT = Path(__file__).parents[2]
EVERY_CALL = """
import ctypes, os, shutil
from tests.faults.forks import BEFORE, End, start, wait

def work():
    with open("a", "w") as file:
        file.write("12")
    open("a").read()
    os.fsync(descriptor := os.open(".", os.O_RDONLY))
    os.truncate("a", 1)
    os.rename("a", "b")
    ctypes.CDLL(None).syscall({renameat2}, -100, b"b", -100, b"c", 0)
    shutil.copyfile("c", "d")
    os.makedirs("e/f")
    open("/dev/null", "w").write("x")
    try:
        os.unlink("none")
    except FileNotFoundError:
        shutil.rmtree("e")
    raise SystemExit(7)

folder, output, log = map(Path, sys.argv[1:])
ended = wait(start(work, folder, output, End(), log), output)
assert ended.status == 7, ended
"""
WHOLE_AT_EVERY_NUMBER = """
import shutil
from tests.faults.changes import POWER, lose_power, not_durable, points, read_changes
from tests.faults.forks import BEFORE, End, start, wait
from vqvae.atomic_files import whole_file, whole_folder

def work():
    with whole_file("file") as file:
        file.write("new" * 9000)
    with whole_folder(Path("folder")) as draft:
        (draft / "one").write_text("new")
        (draft / "two").write_text("new")

def begin():
    shutil.rmtree(folder)
    (folder / "folder").mkdir(parents=True)
    for name in ("file", "folder/one"):
        (folder / name).write_text("old")

def found():
    return {str(path.relative_to(folder)): path.read_text()[:3] for path in folder.rglob("*") if path.is_file()}

folder, output, log = map(Path, sys.argv[1:])
begin()
assert wait(start(work, folder, output, End(), log), output).status == 0, output.read_text()
changes, wanted = read_changes(log), {"file": "new", "folder/one": "new", "folder/two": "new"}
assert found() == wanted and not not_durable(changes, folder, ()), not_durable(changes, folder, ())
whole = points(changes)
for number, how in whole:
    begin()
    ended = wait(start(work, folder, output, End(number, BEFORE if how == POWER else how), log), output)
    assert ended.status == -9, (number, how, ended)
    if how == POWER:
        lose_power(read_changes(log))
    left = found()
    assert left["file"] in ("old", "new"), (number, how, left)
    assert {left.get("folder/one"), left.get("folder/two")} in ({"old", None}, {"new"}, {None}), (number, how, left)
    assert wait(start(work, folder, output), output).status == 0, (number, how, output.read_text())
    assert found() == wanted, (number, how, found())
print(len(whole))
"""


def run(tmp_path: Path, program: str) -> str:
    """Run a program under the shim; returns what it prints."""
    work = tmp_path / "work"
    work.mkdir()
    given = [str(work), str(tmp_path / "output.txt"), str(tmp_path / "changes.txt")]
    program = f"import sys\nfrom pathlib import Path\n{program}"
    around = environment(build_shim(tmp_path), tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", program, *given], cwd=ROOT, env=around, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_change_of_files_has_a_number_whoever_makes_it(tmp_path):
    number = {"x86_64": 316, "aarch64": 276}[platform.machine()]
    run(tmp_path, EVERY_CALL.replace("{renameat2}", str(number)))
    found = read_changes(tmp_path / "changes.txt")
    assert [one.told(tmp_path / "work") for one in found] == [
        "open a",
        "write a",
        "sync .",
        "truncate a",
        "rename a -> b",
        "rename b -> c",
        "open d",
        "write d",
        "write d",
        "mkdir e",
        "mkdir e/f",
        "unlink none",
        "unlink e/f",
        "rmdir e",
    ]
    assert [one.told(tmp_path / "work") for one in found if not one.made] == ["unlink none"]
    assert found[1].size == 2 and found[3].size == 1


def test_files_and_folders_appear_whole_and_on_disk_wherever_their_writing_ends(tmp_path):
    assert int(run(tmp_path, WHOLE_AT_EVERY_NUMBER)) > 30
