"""A terminal that goes while a command works: what was done is kept, and what nobody can read ends nothing."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from mixlm.run import load_run
from tests.tiny_data import write_raw, write_scratch


OPTIONS = "--method cot --steps 5 --batch-size 4 --learning-rate 1e-2 --save-every 10m"
# A training with a terminal of its own, or a reader (as tee is), that waits in its third step until that is gone.
TRAINING = """
import fcntl, os, select, signal, sys, termios
from contextlib import contextmanager
from pipelines import train

ignored, *arguments = sys.argv[1:]
if ignored:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
terminal = os.isatty(2)
if terminal:
    os.setsid()
    fcntl.ioctl(2, termios.TIOCSCTTY, 0)
shown = train.progress_bar

@contextmanager
def told(*given):
    with shown(*given) as advance:
        def step(done, *reached):
            if done == 3:
                os.write(2, b"step 3")
                gone = select.poll()
                gone.register(2, 0)
                gone.poll()
                if not terminal:
                    os.kill(os.getpid(), signal.SIGHUP)
                print("more than nobody reads", file=sys.stderr, flush=True)
            advance(done, *reached)
        yield step

train.progress_bar = told
train.main(arguments)
"""


@pytest.mark.parametrize("ignored", ["", "by nohup"])
@pytest.mark.parametrize("printed_to", [pty.openpty, os.pipe])
def test_a_training_outlasts_its_terminal(warm: str, tmp_path: Path, printed_to, ignored: str) -> None:
    raw, model, out = write_raw(tmp_path), write_scratch(tmp_path), tmp_path / "run"
    reader, written = printed_to()
    command = [warm, "-c", TRAINING, ignored, str(raw), "--model", str(model), "--out", str(out), *OPTIONS.split()]
    with subprocess.Popen(command, stdout=written, stderr=written) as process:
        os.close(written)
        said = b""
        while b"step 3" not in said:
            said += os.read(reader, 4096)
        os.close(reader)
    kept = [path.name for path in (out / "checkpoints").glob("checkpoint-*")]
    assert (process.returncode, kept) == ((0, []) if ignored else (129, ["checkpoint-3"]))
    went_on = subprocess.run([warm, "-m", "pipelines", "train", "--resume", str(out)], capture_output=True, text=True)
    assert went_on.returncode == 0 and ("checkpoint-3" in went_on.stderr) == (not ignored), went_on.stderr
    assert load_run(out).step == 4 and not (out / "checkpoints").exists()
