import threading

import pytest

from mixlm.generation.server.threads import as_they_come


@pytest.mark.parametrize("at_once", [1, 3, 20])
def test_everything_is_asked_once_and_no_more_at_a_time_than_wanted(at_once):
    taken, here, most, lock = [], 0, 0, threading.Lock()

    def ask(thing: int) -> int:
        nonlocal here, most
        with lock:
            here, most = here + 1, max(most, here + 1)
        with lock:
            here -= 1
        return -thing

    things = (taken.append(thing) or thing for thing in range(10))
    found = as_they_come(ask, things, at_once)
    assert next(found)[0] in range(at_once) and len(taken) <= at_once + 1
    rest = dict(found)
    assert len(rest) == 9 and all(found == -thing for thing, found in rest.items()) and most <= at_once


def test_what_a_thread_raises_is_raised_and_nothing_more_is_asked():
    asked = []

    def ask(thing: int) -> int:
        asked.append(thing)
        return 1 // (thing - 2)

    with pytest.raises(ZeroDivisionError):
        list(as_they_come(ask, range(10), 1))
    assert asked == [0, 1, 2]


def test_threads_end_with_their_work():
    before = {*threading.enumerate()}
    found = as_they_come(str, range(5), 3)
    seen = [next(found)]
    threads = {*threading.enumerate()} - before
    seen += found
    for thread in threads:
        thread.join(10)
    assert dict(seen) == {n: str(n) for n in range(5)}
    assert len(threads) == 3 and not any(thread.is_alive() for thread in threads)
