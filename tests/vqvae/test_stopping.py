import os
import signal
import threading

import pytest

from vqvae.stopping import Stopped, stop_when_asked


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
