import csv
import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mixlm.errors import InputError
from mixlm.evaluation.statistics import bootstrap_interval, bootstrap_p_value, paired_bootstrap_difference
from pipelines.cli import main
from pipelines.grid.attempts import Attempts
from pipelines.grid.folder import RESULTS
from pipelines.grid.parse import read_grid
from pipelines.reports.comparison import _points, p_text
from pipelines.reports.tables import latex, latex_text, markdown
from tests.made_results import figures, result
from tests.toy_recipe import DATA, ROWS, STAGES


pytest.importorskip("matplotlib")
TOY = {
    "data": {"task": "chain-arithmetic", "rows": ROWS, "options": DATA},
    **STAGES,
    "evaluate": {"samples": 2, "temperature": 1.0},
    "methods": {"cot": None, "assorted": {"options": {"mix": "uniform"}}, "drop-prefix": None},
}


def compare(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


@pytest.fixture(scope="module")
def toy(tmp_path_factory, warm):
    """The folder and the output of a comparison by the real commands."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "toy.yaml").write_text(yaml.safe_dump(TOY, sort_keys=False))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(sys, "executable", warm)
        done = compare("toy.yaml", "--jobs", "2")
    assert done.exit_code == 0, done.output
    return folder / "toy", done.stdout


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_results_are_what_the_evaluations_measured(toy):
    out, _ = toy
    results = {one["label"]: one for one in read_lines(out / "results.jsonl")}
    assert results.keys() == TOY["methods"].keys()
    lengths = ["free", "exact:0%", "exact:25%", "exact:50%", "exact:100%"]
    for label, modes in {"cot": ["free"], "assorted": lengths, "drop-prefix": ["free", "direct"]}.items():
        answers = read_lines(out / "answers" / f"{label}-0.jsonl")
        found = results[label]
        assert list(found["modes"]) == modes and (found["rows"], found["samples"]) == (6, 2)
        assert found["decoding"] == "plain"  # for they are samples
        for mode in modes:
            own = [one for one in answers if one["latents"] == mode]
            assert len(own) == 12
            measured = found["modes"][mode]
            assert measured["accuracy"] == pytest.approx(sum(one["right"] for one in own) / 12, rel=1e-5)
            assert measured["tokens"]["total"] == pytest.approx(
                sum(one["tokens"]["total"] for one in own) / 12, rel=1e-5
            )
            assert measured["right"] == "".join(
                str(own[place]["right"] + own[place + 1]["right"]) for place in range(0, 12, 2)
            )
    assert results["assorted"]["modes"]["exact:100%"]["latents"] == TOY["data"]["options"]["operations"]
    assert results["assorted"]["stage1"]["codes_trained"] == 8
    assert results["assorted"]["seconds"].keys() == {"encode", "train", "evaluate"}


def test_the_encoding_is_shared_and_every_cell_has_a_run(toy):
    out, _ = toy
    assert [path.name for path in (out / "encoded").iterdir()] == ["assorted-0"]
    for label in TOY["methods"]:
        run = json.loads((out / "runs" / f"{label}-0" / "mixlm.json").read_text())
        assert (run["method_name"], run["seed"]) == (label, 0)


def test_table_pairs_and_pictures_are_written(toy):
    out, printed = toy
    table = (out / "table.md").read_text()
    assert table.startswith("toy: 6 test rows, 3 of 3 cells\n\n| method | seeds | accuracy | 95 % interval | solved |")
    assert [line.split(" | ")[0] for line in table.splitlines()[4:7]] == ["| cot", "| assorted", "| drop-prefix"]
    rows = list(csv.DictReader((out / "pairs.csv").open()))
    assert [(row["latents"], row["first"], row["second"]) for row in rows] == [
        ("free", "cot", "assorted"),
        ("free", "cot", "drop-prefix"),
        ("free", "assorted", "drop-prefix"),
        ("exact:100%", "assorted", "drop-prefix"),
    ]
    assert (out / "pareto.png").stat().st_size > 5000 and "</svg>" in (out / "pareto.svg").read_text()
    assert (out / "pareto.pdf").read_bytes().startswith(b"%PDF")
    assert "cot minus each other method" in printed
    assert printed.endswith("wrote table.md, table.tex, pairs.csv, pareto.png, pareto.svg, pareto.pdf in toy\n")


def test_a_second_call_runs_nothing_and_says_the_same(toy, monkeypatch):
    out, printed = toy
    monkeypatch.chdir(out.parent)
    monkeypatch.setattr("pipelines.shared.jobs.command_of", lambda job: ["false"])
    again = compare("toy.yaml")
    assert again.exit_code == 0 and "3 cells, 3 done" in again.stderr
    assert again.stdout == printed


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A function that writes results, and returns what the command says of them with its options."""
    monkeypatch.chdir(tmp_path)
    labels = {"cot": None, "assorted": None, "dropped": {"method": "drop-prefix"}, "base": None}
    grid = {"data": {"train": "a", "valid": "b", "test": "c"}, "model": "M", "methods": labels, "seeds": [0, 1]}
    Path("grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    identity = read_grid("grid.yaml").identity

    def tell(results, *options):
        Path("grid").mkdir(exist_ok=True)
        known = grid["methods"]
        lines = [{**one, "identity": identity(one["label"]) if one["label"] in known else ""} for one in results]
        Path("grid", RESULTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return compare("grid.yaml", "--no-run", *options)

    return tell


SECONDS = {"encode": {"wall": 9.0, "cpu": 5.4}, "train": {"wall": 99.0, "cpu": 7.0}, "evaluate": {"wall": 1, "cpu": 1}}
RESULTS_BY_HAND = [
    result("assorted", 1, seconds=SECONDS, free=figures("1100", 8.0, 2.0, 2.0), exact_0="1110", exact_100="1100"),
    result("assorted", 0, seconds=SECONDS, free=figures("1000", 6.0, 1.0, 2.0), exact_0="1111", exact_100="1100"),
    result("cot", 0, seconds={"train": SECONDS["train"]}, free=figures("1111", 20.0, seconds=1.0)),
    result("dropped", 0, seconds=SECONDS, free="1110", direct="0000"),
]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_by_hand(told):
    done = told(RESULTS_BY_HAND)
    assert done.exit_code == 0, done.output
    lines = Path("grid/table.md").read_text().splitlines()
    assert lines[0] == "grid: 4 test rows, 4 of 7 cells"
    titles, rule, *rows = map(cells, lines[2:])
    assert titles == [
        *("method", "seeds", "accuracy", "95 % interval", "tokens", "latents", "0%", "100%", "direct"),
        *("stage 1, CPU s", "training, CPU s", "answer, ms"),
    ]
    assert rule == ["---", *["---:"] * 11]
    _, low, high = bootstrap_interval([[1, 0, 0, 0], [1, 1, 0, 0]])
    between = f"{low:.1%} - {high:.1%}"
    assert rows[0] == ["cot", "1", "100.0%", "51.0% - 100.0%", "20.0", "0.0", "", "", "", "", "7", "250.0"]
    assert rows[1] == ["assorted", "2", "37.5%", between, "7.0", "1.5", "87.5%", "50.0%", "", "5", "7", "500.0"]
    assert rows[2][0] == "dropped" and rows[2][6:10] == ["", "", "0.0%", "5"]


def test_the_terminal_shows_the_same_table_whole_however_narrow(told, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    printed = [line.split() for line in told(RESULTS_BY_HAND).stdout.splitlines()]
    for line in Path("grid/table.md").read_text().splitlines()[2:]:
        if not line.startswith("| ---"):
            assert line.replace("|", " ").split() in printed


def test_differences_are_against_whom_one_asks(told):
    assert "cot minus each other method, in points of accuracy:" in told(RESULTS_BY_HAND).stdout
    done = told(RESULTS_BY_HAND, "--against", "assorted")
    lines = [line.split() for line in done.stdout.partition("assorted minus each other method")[2].splitlines()]
    first, cot = [[1, 0, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 1]]
    _, low, high = paired_bootstrap_difference(cot, first)
    against_cot = ["cot", "free", "-62.5", f"{-100 * high:+.1f}", "to", f"{-100 * low:+.1f}"]
    assert [*against_cot, p_text(bootstrap_p_value(cot, first))] in lines
    assert [line[:3] for line in lines if line and line[0] == "dropped"] == [
        ["dropped", "free", "-37.5"],
        ["dropped", "exact:100%", "+50.0"],
    ]
    rows = list(csv.reader(Path("grid/pairs.csv").open()))
    assert rows[0] == ["latents", "first", "second", "difference", "low", "high", "p"]
    assert rows[1][:4] == ["free", "cot", "assorted", "0.62500"] and len(rows) == 5
    assert float(rows[1][6]) == bootstrap_p_value(cot, first)


def test_against_one_that_is_unknown_or_not_finished(told):
    unknown = told(RESULTS_BY_HAND, "--against", "x")
    assert unknown.exit_code == 2 and "--against x: not in grid.yaml; it has cot, assorted" in unknown.stderr
    unfinished = told(RESULTS_BY_HAND[:3], "--against", "dropped")
    assert unfinished.exit_code == 0 and "--against dropped: none of its cells is finished yet" in unfinished.stdout


def test_solved_is_a_column_where_rows_were_answered_several_times(told):
    told([result("cot", 0, samples=10, free="10,1,0,0"), result("dropped", 0, free="1000")])
    titles, _, cot, dropped = map(cells, Path("grid/table.md").read_text().splitlines()[2:])
    assert titles[2:6] == ["accuracy", "95 % interval", "solved", "tokens"]
    assert (cot[2], cot[4], cot[-1]) == ("27.5%", "50.0%", "25.0")  # a second for 40 answers
    assert (dropped[2], dropped[4], dropped[-1]) == ("25.0%", "", "250.0")


def test_what_is_not_of_the_grid_is_left_out(told):
    told([*RESULTS_BY_HAND, result("other", 0, free="1111"), result("cot", 7, free="0000")])
    lines = Path("grid/table.md").read_text().splitlines()
    assert lines[0] == "grid: 4 test rows, 4 of 7 cells" and cells(lines[4])[:3] == ["cot", "1", "100.0%"]


def test_the_model_itself_counts_once_whatever_seeds_the_grid_had(told):
    done = told([result("base", seed, free="0001") for seed in (0, 1)])
    assert done.exit_code == 0, done.output
    lines = Path("grid/table.md").read_text().splitlines()
    assert lines[0] == "grid: 4 test rows, 1 of 7 cells" and cells(lines[4])[:2] == ["base", "1"]


def test_cells_that_were_tested_in_different_ways_are_told(told):
    cells_of = (("cot", 0, "number", "0001"), ("assorted", 0, "exact", "0001"), ("assorted", 1, "exact", "0001"))
    lines = [result(label, seed, free=free) | {"check": check} for label, seed, check, free in cells_of]
    done = told(lines)
    assert (
        "alert: cells were tested in different ways (cot-0: 4 rows by number; assorted-0, assorted-1: 4 rows by "
        "exact), which is no comparison of the methods: give 'check' and 'limit' under 'evaluate' of the grid, and "
        "another --out"
    ) in done.stdout
    assert "alert: cells were tested" not in told(lines[1:]).stdout
    fewer = told([lines[1] | {"rows": 2}, lines[2]]).stdout
    assert "(assorted-0: 2 rows by exact; assorted-1: 4 rows by exact)" in fewer


def test_what_failed_once_and_is_done_by_now_is_no_alert(told):
    told(RESULTS_BY_HAND)
    for name in ("train cot-0", "train cot-1"):
        with suppress(InputError), Attempts(Path("grid/parts.jsonl")).noted(name, "", "", {}):
            raise InputError("out of luck")
    alerts = [line for line in told(RESULTS_BY_HAND).stdout.splitlines() if line.startswith("alert: ")]
    assert alerts == ["alert: train cot-1: failed: out of luck"]


def test_a_method_that_was_never_decoded_freely_has_its_other_columns(told):
    told([result("assorted", 0, seconds=SECONDS, exact_0="1110")])
    (row,) = map(cells, Path("grid/table.md").read_text().splitlines()[4:])
    assert row == ["assorted", "1", "", "", "", "", "75.0%", "5", "7", ""]


def test_p_values_have_the_digits_they_mean():
    assert [p_text(value) for value in (1.0, 0.0478, 0.001, 0.00049)] == ["1.000", "0.048", "0.001", "<0.001"]


def test_markdown():
    assert markdown([["a", "b"], ["1", ""]]) == "| a | b |\n| --- | ---: |\n| 1 |  |\n"


def test_latex():
    table = latex([["a_1", "95 % interval"], ["x & y", "1.0% - 2.0%"]], "K = 8")
    lines = [line.strip() for line in table.splitlines()]
    assert r"\begin{tabular}{lr}" in lines and r"\caption{K = 8}" in lines
    at = lines.index(r"\toprule")
    assert [*lines[at + 1 : at + 5]] == [
        r"a\_1 & 95 \% interval \\",
        r"\midrule",
        r"x \& y & 1.0\%--2.0\% \\",
        r"\bottomrule",
    ]
    assert latex_text(r"\a{b}~^<$#>") == r"\textbackslash{}a\{b\}\textasciitilde{}\textasciicircum{}$<$\$\#$>$"


AROUND = {
    "versions": {"mixlm": "0.1.0", "torch": "2.13.0"},
    **{"hardware": "a processor", "threads": "1", "commit": None, "date": "2026-11-28"},
}


def test_tables_say_on_what_they_were_obtained(told):
    one, two, cot, dropped = ({**result, **AROUND} for result in RESULTS_BY_HAND)
    told([one, {**two, "date": "2026-11-29"}, {**cot, "commit": "abc", "threads": "2"}, RESULTS_BY_HAND[3]])
    basis = [
        "mixlm 0.1.0, torch 2.13.0, commit abc; a processor, 2 threads; 2026-11-28",
        "mixlm 0.1.0, torch 2.13.0; a processor, 1 thread; 2026-11-28 to 2026-11-29",
    ]
    assert Path("grid/table.md").read_text().splitlines()[-4:] == ["", basis[0], "", basis[1]]
    latexed = Path("grid/table.tex").read_text().splitlines()
    assert latexed[:2] == [f"% {line}" for line in basis] and latexed[2] == r"\begin{table}"
    assert r"    cot & 1 & 100.0\% & 51.0\%--100.0\% & 20.0 & 0.0 &  &  &  &  & 7 & 250.0 \\" in latexed


def test_alerts_are_printed_and_stand_with_the_table_what_cells_share_once(told):
    shared, own = "codebook collapsed: 1 of 8", "answers were cut off (50.0% free)"
    one, two, *_ = RESULTS_BY_HAND
    two = {**two, "modes": {"free": {**two["modes"]["free"], "cut_off": 0.5}}, "alerts": [shared, own]}
    done = told([{**one, "alerts": [shared]}, two])
    lines = [f"alert: assorted-1, assorted-0: {shared}", f"alert: assorted-0: {own}"]
    assert [line for line in done.stdout.splitlines() if line.startswith("alert")] == lines
    assert [line for line in Path("grid/table.md").read_text().splitlines() if line.startswith("alert")] == lines
    titles, _, row = map(cells, Path("grid/table.md").read_text().splitlines()[2:5])
    assert row[titles.index("cut off")] == "25.0%"  # of one seed of two


def test_without_matplotlib_nothing_is_run(told, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None)
    done = compare("grid.yaml")
    assert done.exit_code == 1 and "pip install matplotlib" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not Path("grid").exists()


def test_no_difference_has_no_minus():
    assert [_points(share) for share in (-0.0, 0.0, -0.0004, 0.0004, -0.125)] == [
        "+0.0",
        "+0.0",
        "+0.0",
        "+0.0",
        "-12.5",
    ]
