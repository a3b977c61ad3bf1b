import pytest

from pipelines.reports.encoding import _answer_lines, _merging, _probe_lines, _samples_line


COUNTS = {"samples": 3, "trace_tokens": 100, "chunks": 6, "codes": 6, "empty_traces": 1, "short_traces": 0}


@pytest.mark.parametrize(
    ("rate", "change"),
    [
        (4, ", 1.2 times shorter with all chunks as latents"),  # 76 tokens of text, 6 codes, 4 delimiters
        (None, ", 10.0 times shorter with all chunks as latents"),  # 6 codes and 4 delimiters are all that is left
        (1, ""),
    ],
)
def test_what_is_left_is_text_without_a_code_and_codes_within_delimiters(rate: int | None, change: str) -> None:
    text = (
        f"train     3 samples, 100 trace tokens, 6 chunks -> 6 codes{change}; 1 without a whole chunk, 1 of them empty"
    )
    assert _samples_line("train", COUNTS, rate) == f"{text}, stay text"


PROBED = {f"{kind}_{way}": 1.0 for kind in ("next", "solution") for way in ("with", "without", "random")}
PROBED |= {"prior_nats": 5.0, "prior_blind": 5.0, "prior_top1": 0.01, "probe_steps": 10}


@pytest.mark.parametrize(
    ("objective", "align", "advice"),
    [
        ("reconstruction", "fixed", "--objective predictive, --align step, "),
        ("reconstruction", "step", "--objective predictive, "),
        ("language-model", "fixed", "--align step, "),
        ("predictive", "step", ""),
    ],
)
def test_what_is_advised_is_what_was_not_done(objective: str, align: str, advice: str) -> None:
    lines = list(_probe_lines({"objective": objective, "align": align, "codebook": PROBED}))
    hard = f"          hard to foretell is hard to write; try {advice}fewer codes, more --steps"
    assert lines[2:] == [
        f"          what follows hardly depends on codes; try {advice}more --steps",
        f"{hard}; but 10 steps may have been too few to foretell it",
    ]
    longer = {"objective": objective, "align": align, "codebook": {**PROBED, "probe_steps": 500}}
    assert list(_probe_lines(longer))[3] == hard


@pytest.mark.parametrize(
    ("merged_on", "told"),
    [
        ({"valid": 7, "train": 30}, "of 7 valid and 30 train samples, "),
        ({"valid": 9, "train": 0}, "of 9 valid samples, "),
        (None, ""),  # encoded before it was noted
    ],
)
def test_the_readers_losses_name_the_rows_that_they_are_of(merged_on: dict | None, told: str) -> None:
    codes = {"codes_trained": 8, "codes_merged": 8, "loss_trained": 1.0, "loss_merged": 1.0, "loss_without": 2.0}
    line = _merging(codes if merged_on is None else {**codes, "merged_on": merged_on})
    assert line.startswith(f"reader    {told}what follows costs 1.00 nats a code")


def test_how_answers_were_found_is_told_of_splits_whose_rows_had_no_column_for_them() -> None:
    counts = {"train": {"samples": 5, "answers_hashes": 3, "codes": 7}, "valid": {"samples": 2, "codes": 1}}
    assert [*_answer_lines(counts)] == ["answers   of train: 2 in a column of their own, 3 after '####'"]
