"""The process that compares mathematical answers: same results as math-verify itself, and nothing hangs."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mixlm.errors import InputError
from mixlm.evaluation.math_check import MathChecker, require_math_verify


math_verify = pytest.importorskip("math_verify")

LIMIT = 1.0
START = 60.0  # a new process may be slow to start on a busy machine; a hang would take for ever
HANGS = "9^{9^{9}} + x - x"  # a number of 369,693,100 digits
PAIRS = [
    (r"\frac{1}{2}", "0.5"),
    ("x + y", "y+x"),
    ("(1, 2)", "(2, 1)"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    ("1-i", "-i+1"),
    (r"\frac{", "2"),
    ("", "1"),
    ("1", "\ud800"),
]


@pytest.fixture
def checker():
    """A checker with a short limit."""
    made = MathChecker(LIMIT)
    yield made
    made.close()


@pytest.fixture
def obedient(tmp_path, monkeypatch):
    """A stand-in for math-verify that sleeps, works for ever or fails where a text says so, and counts the texts.

    Returns:
        A function that returns how many texts it has read.
    """
    (tmp_path / "math_verify.py").write_text(
        "import os, time\n"
        "LatexExtractionConfig = dict\n"
        "def parse(marked, configs):\n"
        "    text = marked.strip('$')\n"
        "    with open(os.environ['READ'], 'a') as file: file.write('.')\n"
        "    if text == 'fail': raise RuntimeError\n"
        "    if text == 'leave': os._exit(1)\n"
        "    while text == 'work': pass\n"
        "    time.sleep(1000 if text == 'sleep' else 0.01)\n"
        "    return [(text,)]\n"
        "def verify(one, other, **choices): return one == other\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("READ", str(tmp_path / "read"))
    return lambda: len((tmp_path / "read").read_text()) - 2  # but for the first two, at the start


def in_thread(work):
    """Run ``work`` off the main thread; returns its result and its seconds."""
    found = []
    started = time.monotonic()
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0], time.monotonic() - started


def is_running(pid):
    """Whether a process lives; one that ended and was not waited for counts, as it still has its id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(pid):
    """Wait for a process that is no child of this one; ended but not yet taken note of by its parent will do."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat")
        if not is_running(pid) or (state.is_file() and state.read_text().rpartition(")")[2].split()[0] == "Z"):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is still there")


def test_results_are_those_of_math_verify_in_any_thread(checker):
    for gold, answer in PAIRS:
        marked = (math_verify.parse(f"${text}$") for text in (gold, answer))
        wanted = bool(math_verify.verify(*marked))
        assert checker.equal(gold, answer) is wanted, (gold, answer)
        assert in_thread(lambda gold=gold, answer=answer: checker.equal(gold, answer))[0] is wanted
    assert {bool(checker.equal(*pair)) for pair in PAIRS} == {True, False}


def test_what_hangs_is_wrong_within_the_limit_and_the_next_check_works(checker):
    assert checker.equal("1", "1.0")
    first = checker.pid
    result, seconds = in_thread(lambda: checker.equal("1", HANGS))
    assert result is False
    assert LIMIT <= seconds < LIMIT + 3  # math-verify's own limit, in its main thread, is 5
    assert not is_running(first)
    assert in_thread(lambda: checker.equal("1", "1.0"))[0] is True
    assert checker.pid not in (None, first)


def test_process_that_neither_works_nor_answers_is_killed_after_one_try(checker, obedient):
    assert checker.equal("1", "1")
    first, before = checker.pid, obedient()
    assert in_thread(lambda: checker.equal("1", "sleep"))[0] is False
    assert not is_running(first)
    assert obedient() == before + 2
    assert checker.equal("1", "1")


def test_text_that_breaks_the_parser_is_wrong_and_costs_nothing_else(checker, obedient):
    assert checker.equal("1", "1")
    first = checker.pid
    assert checker.equal("1", "fail") is False
    assert checker.pid == first


def test_text_that_ends_the_process_is_wrong_after_a_second_try(checker, obedient):
    """It may have been something else that ended it, so it is tried once more."""
    assert checker.equal("leave", "1") is False
    assert checker.equal("1", "1")
    assert checker.equal("1", "2") is False


def test_limit_counts_from_the_check_and_not_from_the_start_of_the_process():
    checker = MathChecker(limit=0.2)  # no process imports sympy in that time
    try:
        assert checker.equal("1", "1.0") is True
    finally:
        checker.close()


def test_enormous_answer_is_wrong_and_costs_no_more_than_the_limit(checker):
    started = time.monotonic()
    assert checker.equal("1", r"\frac{1}{" * 50_000 + "1" + "}" * 50_000) is False
    assert time.monotonic() - started < LIMIT + START


def test_process_that_was_killed_while_idle_is_replaced(checker):
    assert checker.equal("1", "1.0")
    for _ in range(3):
        os.kill(checker.pid, signal.SIGKILL)
        assert checker.equal("1", "1.0") is True


def test_threads_that_ask_at_once_get_their_own_answers_from_one_process(checker, obedient):
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append((n, checker.equal("4", str(n))))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(n, n == 4) for n in range(12)]
    assert obedient() == 2 * 12


def test_close_leaves_no_process_and_a_later_check_starts_one(checker):
    checker.equal("1", "2")
    pid = checker.pid
    checker.close()
    assert checker.pid is None
    assert not is_running(pid)
    assert checker.equal("1", "1.0") is True


def test_no_process_outlives_the_program_even_if_it_is_killed():
    imported = "from mixlm.evaluation import math_check as c"
    program = imported + "; c.equal_math('1', '2'); print(c._SHARED.pid, flush=True); {}"
    for end in ("", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"):
        done = subprocess.run([sys.executable, "-c", program.format(end)], stdout=subprocess.PIPE, text=True)
        wait_for_end(int(done.stdout))


def test_process_that_works_for_ever_ends_itself_when_nobody_is_left_to_kill_it(obedient):
    program = (
        "import os, signal, sys, threading\n"
        "from mixlm.evaluation.math_check import MathChecker\n"
        "checker = MathChecker(0.5)\n"
        "checker.equal('1', '2'); print(checker.pid, flush=True)\n"
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()\n"
        "checker.equal('1', 'work')\n"
    )
    path = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, **path}
    )
    wait_for_end(int(done.stdout))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_process_starts_its_own():
    program = (
        "import os\n"
        "from mixlm.evaluation import math_check as c\n"
        "assert c.equal_math('1', '1.0')\n"
        "pid = c._SHARED.pid\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    same = c._SHARED.pid is None and c.equal_math('1', '1.0') and c._SHARED.pid != pid\n"
        "    c._SHARED.close()\n"
        "    os._exit(0 if same else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert c._SHARED.pid == pid and c.equal_math('2', '2.0') and c._SHARED.pid == pid\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_folder_with_a_module_of_a_known_name_does_no_harm(tmp_path, monkeypatch, checker):
    (tmp_path / "json.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    assert checker.equal("1", "1.0") is True


def test_package_that_does_not_start_is_an_error(tmp_path, monkeypatch, checker):
    (tmp_path / "math_verify.py").write_text("raise OSError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="math-verify does not start"):
        checker.equal("1", "2")
    assert checker.pid is None


def test_missing_package_names_the_remedy(monkeypatch, checker):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(InputError, match="install it with: pip install math-verify"):
        require_math_verify()
    with pytest.raises(InputError, match="install it with: pip install math-verify"):
        checker.equal("1", "2")
