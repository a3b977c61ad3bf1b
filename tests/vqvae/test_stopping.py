import os
import signal
import threading

import pytest

from vqvae import stopping
from vqvae.stopping import Stopped, ended_at_once, stop_when_asked


HANGUP = signal.SIGHUP
pytestmark = pytest.mark.usefixtures("hangups_end")


@pytest.fixture
def slow(monkeypatch):
    """The second of two signals comes late."""
    monkeypatch.setattr(stopping, "_PASSED_ON", 0.0)


def test_a_sigterm_that_is_passed_on_is_no_impatience():
    """A scheduler sends it to a whole group of processes, of which the first passes it on to the others."""
    for first in (signal.SIGTERM, signal.SIGINT):
        with stop_when_asked() as stop:
            os.kill(os.getpid(), first)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.error("kept").status == 128 + first


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_remembered_and_the_second_ends_at_once(signum):
    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as ended, stop_when_asked() as stop:
        assert not stop.asked
        os.kill(os.getpid(), signum)
        assert stop.asked
        assert (stop.error("kept").status, str(stop.error("kept"))) == (128 + signum, "kept")
        os.kill(os.getpid(), signum)
    assert ended.value.status == 128 + signum
    assert signal.getsignal(signum) == before


@pytest.mark.usefixtures("slow")
def test_a_hang_up_may_come_twice_and_is_no_impatience():
    """A shell sends one, and the system another when the shell has ended; then it may ask to end, too."""
    before = signal.getsignal(HANGUP)
    with pytest.raises(Stopped) as ended, stop_when_asked() as stop:
        os.kill(os.getpid(), HANGUP)
        os.kill(os.getpid(), HANGUP)
        assert stop.error("kept").status == 128 + HANGUP
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.error("kept").status == 128 + signal.SIGTERM
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.status == 128 + signal.SIGTERM
    signal.signal(HANGUP, before)
    with stop_when_asked() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), HANGUP)
        assert stop.error("kept").status == 128 + signal.SIGINT


def test_the_second_hang_up_does_not_end_what_the_first_one_began():
    with ended_at_once():
        with stop_when_asked() as stop:
            os.kill(os.getpid(), HANGUP)
        assert stop.asked
        os.kill(os.getpid(), HANGUP)
    os.kill(os.getpid(), HANGUP)


def test_a_hang_up_is_given_back_unless_it_came():
    with ended_at_once(), stop_when_asked():
        assert signal.getsignal(HANGUP) is not signal.SIG_DFL
    assert signal.getsignal(HANGUP) is signal.SIG_DFL


def test_a_hang_up_that_is_ignored_stays_so():
    signal.signal(HANGUP, signal.SIG_IGN)
    with ended_at_once(), stop_when_asked() as stop:
        os.kill(os.getpid(), HANGUP)
        assert not stop.asked
    assert signal.getsignal(HANGUP) is signal.SIG_IGN


def test_another_thread_takes_no_signals(monkeypatch):
    found = []

    def work():
        with stop_when_asked() as stop:
            found.append((stop.asked, signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]
