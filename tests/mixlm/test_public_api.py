"""What the README says of ``from mixlm import ..`` and ``from vqvae import ..``."""

import ast
import re
from pathlib import Path

import pytest

import mixlm
import vqvae


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def listed(heading: str) -> set[str]:
    """The names in the first column of the table under a line of the README."""
    table = README.partition(heading)[2].strip().partition("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_the_readme_lists_what_there_is():
    assert listed("What `from mixlm import ..` gives, imported when it is first used:") == set(mixlm.__all__)
    assert listed("And `from vqvae import ..`:") == set(vqvae.__all__)


@pytest.mark.parametrize("name", mixlm.__all__)
def test_every_name_is_there(name):
    assert getattr(mixlm, name).__doc__


def test_examples_import_from_the_front_door():
    """No block of the README needs to know in which module something lies."""
    modules = set()
    for block in re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(block)):
            modules |= {node.module} if isinstance(node, ast.ImportFrom) else set()
            modules |= {name.name for name in node.names} if isinstance(node, ast.Import) else set()
    assert {"mixlm", "vqvae"} <= modules
    assert not [module for module in modules if module.startswith(("mixlm.", "vqvae.", "pipelines"))]


def test_nobody_is_sent_to_a_package_index_for_this_project():
    """The name there may be somebody else's: users clone."""
    root = Path(__file__).parents[2]
    lines = [
        line
        for name in ("vqvae", "mixlm", "pipelines")
        for file in (root / name).rglob("*.py")
        for line in file.open()
    ]
    assert any("pip install " in line for line in lines)
    assert not [line for line in lines if re.search(r"pip install\b.*\bmixlm", line)]
