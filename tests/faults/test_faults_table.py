"""The table of ``make test-faults`` and its verdict."""

from tests.faults.__main__ import failures, table


WRONG = {"crash_points": ("different", "strays"), "rows": ("different", "tracebacks"), "races": ("both worked",)}


def test_what_must_be_nothing_has_a_column_each_and_the_rest_is_what_was_tried():
    found = {"crash_points": {"points": 1200, "different": 0, "strays": 2}, "rows": {"rows": 9, "tracebacks": 1}}
    assert table(found, WRONG).splitlines() == [
        "| what | tried | different | strays | tracebacks |",
        "| --- | --- | --- | --- | --- |",
        "| crash points | 1,200 points | 0 | 2 |  |",
        "| rows | 9 rows | 0 |  | 1 |",
    ]


def test_only_what_must_be_nothing_is_a_failure():
    assert failures({"rows": {"rows": 9, "tracebacks": 0}}, WRONG) == 0
    assert failures({"rows": {"rows": 9, "tracebacks": 1}, "races": {"both worked": 2}}, WRONG) == 3
