"""docs/ARCHITECTURE.md names only what is there."""

import ast
import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
STOPS = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", (ROOT / "docs" / "ARCHITECTURE.md").read_text())))


def names_in(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Return what a module or class defines by its name."""
    found = {}
    for statement in body:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        names = [getattr(statement, "name", None), *(getattr(target, "id", None) for target in targets)]
        found |= {name: statement for name in names if name}
    return found


@pytest.mark.parametrize(("path", "name"), STOPS, ids=lambda part: part)
def test_every_stop_of_a_trip_is_where_the_page_says(path: str, name: str) -> None:
    body = ast.parse((ROOT / path).read_text()).body
    for part in name.split("."):
        assert part in names_in(body), f"{path} has no {name}"
        body = getattr(names_in(body)[part], "body", [])


def test_the_page_has_four_trips_and_many_stops() -> None:
    assert len(STOPS) > 40
