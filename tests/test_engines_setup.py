"""What ``make test-engines`` does before its tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import __main__ as setup


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is called in place of the new environment's python: it notes its arguments, and fails as it is told."""
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n. {tmp_path}/fail\n')
    python.chmod(0o755)
    (tmp_path / "fail").touch()
    monkeypatch.setattr(setup, "ENVIRONMENT", environment)
    return python


@pytest.fixture(autouse=True)
def tested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The interpreters with which the tests of engines would have been run; no environment is made either."""
    monkeypatch.delenv("MIXLM_ENGINE", raising=False)
    run, tests = subprocess.run, []

    def run_all_but_tests(command, **how):
        """Run what is not this python, which makes environments and runs tests."""
        if command[0] != sys.executable:
            return run(command, **how)
        tests.extend([how["env"]["MIXLM_ENGINE"]] if "pytest" in command else [])
        return subprocess.CompletedProcess(command, 5 if "pytest" in command else 0)

    monkeypatch.setattr(setup.subprocess, "run", run_all_but_tests)
    return tests


def calls(python: Path) -> list[str]:
    return (python.parents[2] / "calls").read_text().splitlines()


def test_what_does_not_open_is_removed_and_the_next_time_nothing_is_installed(python, tested):
    (python.parents[2] / "fail").write_text('case "$*" in "-c import torchaudio") exit 1;; esac\n')
    assert setup.main() == 5 and tested == [str(python)]
    install, *looks = calls(python)
    assert install == f"-m pip install --quiet {setup.ENGINE}"
    assert [look for look in looks if "uninstall" in look] == ["-m pip uninstall --quiet --yes torchaudio"]
    assert setup.main() == 5 and len(calls(python)) == 1 + len(looks)


def test_what_cannot_be_installed_is_skipped_with_the_reason(python, tested, capsys):
    (python.parents[2] / "fail").write_text('echo "ERROR: no such version" >&2\nexit 1\n')
    assert setup.main() == 0 and tested == []
    assert capsys.readouterr().out == f"skipped: {setup.ENGINE} cannot be installed here (ERROR: no such version)\n"
    assert [setup.TORCH_INDEX in call for call in calls(python)] == [False, True]


def test_without_room_it_is_skipped(python, tested, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12 - 10**9, 10**9))
    assert setup.main() == 0 and tested == []
    assert capsys.readouterr().out.startswith(f"skipped: {setup.ENGINE} may take {setup.NEEDED} GB, and 1 GB are free")


def test_with_a_python_that_has_it_nothing_is_installed(python, tested, monkeypatch):
    monkeypatch.setenv("MIXLM_ENGINE", "elsewhere/python")
    assert setup.main() == 5 and tested == ["elsewhere/python"] and not (python.parents[2] / "calls").exists()
