import pytest

from mixlm.planning.plan import Plan
from pipelines.reports.plan import print_plan


SIZES = {"codebook_size": 256, "num_layers": 1}
PLAN = Plan(6473, 1000, 1_043_000, 202, 0, 32, 60.4, None, 5 * 2**30, 24 * 2**30, ("weights of 1 MB", "more"), SIZES)


def test_all_of_a_plan_is_printed(capsys) -> None:
    assert print_plan(PLAN, "then more") == {"finished": False} | vars(PLAN)
    assert capsys.readouterr().out.splitlines() == [
        "rows      6,473 to learn from, 1,000 held out",
        "tokens    1,043,000 in one pass over the former, as text",
        "sizes     codebook_size 256, num_layers 1",
        "steps     202 of 32 samples, 60 s each: about 3 h 23 min, then more",
        "shorter   --steps 19 takes about 20:00",
        "memory    about 5.0 GiB of 24.0 GiB",
        "files     weights of 1 MB; more",
    ]


def test_steps_that_are_made_are_not_made_again(capsys) -> None:
    print_plan(Plan(**{**vars(PLAN), "done": 199}))
    assert (
        "steps     202 of 32 samples, 199 of them made, 60 s each: about 3:01 for the others"
        in capsys.readouterr().out
    )
    print_plan(Plan(**{**vars(PLAN), "done": 202}), "then more")
    assert "steps     202 of 32 samples, 202 of them made, then more\n" in capsys.readouterr().out


def test_a_last_stage_that_is_slower_is_told(capsys) -> None:
    print_plan(Plan(**{**vars(PLAN), "seconds": 1.0, "last_seconds": 8.0}), "then more")
    lines = capsys.readouterr().out.splitlines()
    assert (
        "steps     202 of 32 samples, 1 s each at first, 8 s in the last stage: about 3:22 to 26:56, then more"
        in lines
    )
    assert "shorter   --steps 150 takes about 20:00" in lines


def test_without_a_plan_there_is_nothing_to_print(capsys) -> None:
    assert print_plan(None) == {"finished": True} and not capsys.readouterr().out


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
