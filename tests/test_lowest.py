"""The versions of ``make test-lowest``."""

import pytest

from tests.lowest import declared, lowest


@pytest.mark.parametrize(
    ("requirement", "version"),
    [("torch>=2.6", "torch==2.6"), ("some-thing[extra] >= 1.31, < 2", "some-thing[extra]==1.31")],
)
def test_the_lowest_version_is_the_lower_bound(requirement, version):
    assert lowest(requirement) == version


def test_every_requirement_declares_a_lower_bound():
    versions = [lowest(one) for one in declared()]
    assert "numpy==2.0" in versions and len({one.partition("==")[0] for one in versions}) == len(versions)
