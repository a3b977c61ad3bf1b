"""What a result says of where it comes from."""

import json
import re
import subprocess
from datetime import date

import pytest

from mixlm.comparison import surroundings as module
from mixlm.comparison.surroundings import commit, surroundings


def test_surroundings_say_when_on_what_and_with_what():
    found = surroundings()
    assert date.fromisoformat(found["date"]) and found["hardware"] and found["threads"].isdigit()
    assert {"mixlm", "torch", "transformers"} == found["versions"].keys()
    assert found["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(\+changes)?", found["commit"])


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout that the package would be of."""
    file = tmp_path / "mixlm" / "comparison" / "surroundings.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    monkeypatch.setattr(module, "__file__", str(file))
    return tmp_path


def test_the_commit_is_that_of_the_checkout_and_tells_changes(checkout, monkeypatch):
    def git(*arguments):
        identity = ["-C", checkout, "-c", "user.name=n", "-c", "user.email=e@example.org"]
        done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    head = git("rev-parse", "HEAD")
    (checkout / "notes").write_text("of no file that git knows")
    assert commit() == head and len(head) == 40
    (checkout / "mixlm" / "comparison" / "surroundings.py").write_text("changed")
    assert commit() == f"{head}+changes"
    monkeypatch.setenv("PATH", "")  # no git
    assert commit() is None


def test_an_installation_from_a_repository_has_a_note_of_it(checkout, monkeypatch):
    class Installed:
        def __init__(self, note):
            self.note = note

        def read_text(self, name):
            return self.note if name == "direct_url.json" else None

    noted = json.dumps({"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}})
    monkeypatch.setattr(module, "distributions", lambda name: [Installed(None), Installed(noted)])
    assert commit() == "a" * 40
    monkeypatch.setattr(module, "distributions", lambda name: [Installed('{"url": "file:///x", "dir_info": {}}')])
    assert commit() is None
