"""The examples in docstrings give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
FILES = [
    path for folder in ("vqvae", "mixlm", "pipelines", "benchmarks") for path in ROOT.joinpath(folder).rglob("*.py")
]
WITH_EXAMPLES = sorted(path.relative_to(ROOT) for path in FILES if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples_of(path: Path) -> None:
    """Each line of an example prints what stands below it."""
    module = import_module(".".join(path.with_suffix("").parts))
    failed, attempted = doctest.testmod(module)
    assert attempted and not failed
