"""What docs/API.md says of ``from mixlm import ..`` and ``from vqvae import ..``."""

import ast
import re
from pathlib import Path

import pytest

import mixlm
import vqvae


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
REFERENCE = re.compile(r"^\.\. (?:auto|py:)\w+:: (\w+)", re.MULTILINE)


def listed(heading: str) -> set[str]:
    """The names in the first column of the table under a heading of the page."""
    table = PAGE.partition(heading)[2].strip().partition("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_the_page_lists_what_there_is():
    assert listed("## What `from mixlm import ..` gives") == set(mixlm.__all__)
    assert listed("## What `from vqvae import ..` gives") == set(vqvae.__all__)


@pytest.mark.parametrize("package", [mixlm, vqvae], ids=lambda package: package.__name__)
def test_the_reference_has_what_there_is(package):
    text = (ROOT / "docs" / "reference" / f"{package.__name__}.rst").read_text(encoding="utf-8")
    assert sorted(REFERENCE.findall(text)) == sorted(package.__all__)


@pytest.mark.parametrize("name", mixlm.__all__)
def test_every_name_is_there(name):
    assert getattr(mixlm, name).__doc__


def test_examples_import_from_the_front_door():
    """No block of the page and no example needs to know in which module something lies."""
    modules, examples = set(), [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")]
    for block in [*re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE), *examples]:
        for node in ast.walk(ast.parse(block)):
            modules |= {node.module} if isinstance(node, ast.ImportFrom) else set()
            modules |= {name.name for name in node.names} if isinstance(node, ast.Import) else set()
    assert {"mixlm", "vqvae"} <= modules
    assert not [module for module in modules if module.startswith(("mixlm.", "vqvae.", "pipelines"))]


def test_nobody_is_sent_to_a_package_index_for_this_project():
    """The name there may be somebody else's: users clone."""
    lines = [
        line
        for name in ("vqvae", "mixlm", "pipelines")
        for file in (ROOT / name).rglob("*.py")
        for line in file.open()
    ]
    assert any("pip install " in line for line in lines)
    assert not [line for line in lines if re.search(r"pip install\b.*\bmixlm", line)]
