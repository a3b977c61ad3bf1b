import pytest

from mixlm.planning.plan import Plan
from pipelines.reports.plan import print_plan


PLAN = Plan(6473, 1000, 1_043_000, 202, 32, 60.4, 5 * 2**30, 24 * 2**30, ("weights of 1 MB", "more"))


def test_all_of_a_plan_is_printed(capsys) -> None:
    assert print_plan(PLAN, "then more") == vars(PLAN)
    assert capsys.readouterr().out.splitlines() == [
        "rows      6,473 to learn from, 1,000 held out",
        "tokens    1,043,000 in one pass over the former, as text",
        "steps     202 of 32 samples, 60 s each: about 3 h 23 min, then more",
        "shorter   --steps 19 takes about 20:00",
        "memory    about 5.0 GiB of 24.0 GiB",
        "files     weights of 1 MB; more",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seconds": 0.05}, "steps     202 of 32 samples, 0.05 s each: about 0:10"),
        ({"seconds": None}, "steps     202 of 32 samples"),
        ({"steps": 0, "seconds": None, "tokens": None}, "steps     none: the model is trained"),
    ],
)
def test_what_is_not_known_or_short_is_not_said(capsys, changes: dict, line: str) -> None:
    print_plan(Plan(**{**PLAN.__dict__, **changes}))
    lines = capsys.readouterr().out.splitlines()
    assert line in lines and not any(one.startswith("shorter") for one in lines)
    assert any(one.startswith("tokens") for one in lines) == ("tokens" not in changes)
