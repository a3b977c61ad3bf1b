import fcntl
import hashlib
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mixlm.comparison.results import (
    append_line,
    checksums,
    make_result,
    read_results,
    right_by_mode,
    shares_right,
)
from mixlm.errors import InputError
from tests.manifests import whole_manifest
from vqvae.checksums import sealed, unsealed


LEAST = {"label": "cot", "seed": 0, "identity": "abc", "modes": {}}


def answers(right: dict[str, list[list[int]]]) -> list[dict]:
    """Answers in the order of an evaluation: mode after mode, the samples of a row next to each other."""
    return [
        {"row": 7 * row, "sample": sample, "latents": mode, "right": bool(one)}
        for mode, rows in right.items()
        for row, samples in enumerate(rows)
        for sample, one in enumerate(samples)
    ]


@pytest.mark.parametrize("text", ["", "a\u2028b\x85c\x1cd", "e\r\n"])
def test_a_line_ends_where_json_ends_it(tmp_path, text):
    assert read_results(tmp_path / "results.jsonl") == []
    for _ in range(2):
        append_line(tmp_path / "results.jsonl", LEAST | {"label": text})
    assert [one["label"] for one in read_results(tmp_path / "results.jsonl")] == [text, text]
    (tmp_path / "empty.jsonl").touch()
    assert read_results(tmp_path / "empty.jsonl") == []


def test_a_line_that_ends_within_a_letter_is_no_obstacle_and_one_that_holds_no_letters_is_named(tmp_path):
    path, whole = tmp_path / "results.jsonl", LEAST | {"label": "größer"}
    append_line(path, whole)
    line = path.read_bytes()
    path.write_bytes(line + line + line[: line.index("ö".encode()) + 1])
    assert read_results(path) == [whole, whole]
    append_line(path, LEAST)
    assert read_results(path) == [whole, whole, LEAST]
    path.write_bytes(path.read_bytes().replace(b"cot", b"c\xfft"))
    with pytest.raises(InputError, match=r"results.jsonl:3: is no result of a cell, .*delete the line"):
        read_results(path)


def test_a_line_is_written_whole_where_the_disk_takes_it_by_parts(tmp_path, monkeypatch):
    class Slow(io.FileIO):
        def write(self, data):
            return super().write(data[:7])

    path = tmp_path / "results.jsonl"
    monkeypatch.setattr("builtins.open", lambda file, mode, buffering: Slow(file, mode.replace("b", "")))
    append_line(path, LEAST)
    monkeypatch.undo()
    assert read_results(path) == [LEAST]


def test_a_digit_that_changed_is_told_with_its_line(tmp_path):
    path = tmp_path / "results.jsonl"
    for seed in range(2):
        append_line(path, LEAST | {"seed": seed, "loss": seed + 0.25})
    path.write_text(path.read_text().replace("1.25", "1.35"))
    with pytest.raises(InputError, match=r"results.jsonl:2: .*changed since.*delete the line"):
        read_results(path)


def test_a_line_of_before_lines_had_digests_is_read(tmp_path):
    (tmp_path / "results.jsonl").write_text(json.dumps(LEAST) + "\n")
    assert read_results(tmp_path / "results.jsonl") == [LEAST]


def test_right_answers_of_single_samples_are_a_digit_each():
    right = right_by_mode(answers({"free": [[1], [0], [1]], "exact:50%": [[0], [0], [1]]}))
    assert right == {"free": "101", "exact:50%": "001"}


@pytest.mark.parametrize("samples", [1, 2, 9, 10, 12])
@pytest.mark.parametrize("rows", [1, 2, 40])
def test_scores_are_read_back_from_the_digits(samples, rows):
    drawn = np.random.default_rng(samples).integers(2, size=(rows, samples))
    drawn[0] = 1  # ten right samples and more need two digits
    right = right_by_mode(answers({"free": drawn.tolist()}))
    read = shares_right({"samples": samples, "modes": {"free": {"right": right["free"]}}}, "free")
    np.testing.assert_allclose(read, drawn.mean(axis=1))


def test_scores_of_ten_samples_whose_counts_have_one_digit():
    drawn = [[1] * 9 + [0], [0] * 10, [1] + [0] * 9]
    right = right_by_mode(answers({"free": drawn}))["free"]
    assert right == "9,0,1"
    assert shares_right({"samples": 10, "modes": {"free": {"right": right}}}, "free").tolist() == [0.9, 0.0, 0.1]


def test_files_are_held_against_those_of_earlier_results(tmp_path):
    files = {split: str(tmp_path / split) for split in ("train", "test")}
    for split in files:
        (tmp_path / split).write_text(split)
    data = checksums(files)
    assert data["test"] == {"file": files["test"], "sha256": hashlib.sha256(b"test").hexdigest()}
    assert checksums(files, data) == checksums(files, {}) == data
    assert checksums({"test": files["test"]}, data) == {"test": data["test"]}
    (tmp_path / "test").write_text("tost")
    with pytest.raises(InputError, match="test: is not the file that the results so far are of"):
        checksums(files, data)


def test_an_added_line_is_whole_even_between_threads(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    lines = [{"number": number, "text": "ä" * 5000} for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda line: append_line(path, line), lines))
    read = [unsealed(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert sorted(read, key=lambda line: line["number"]) == lines


def test_where_there_are_no_locks_lines_are_added_all_the_same(tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    path = tmp_path / "results.jsonl"
    append_line(path, LEAST)
    append_line(path, LEAST | {"seed": 1})
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("cut", [1, 5, -1])
def test_a_line_that_a_killed_process_has_not_finished_is_none_and_makes_room(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    append_line(path, LEAST)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:cut].removesuffix(b"}"))
    assert read_results(path) == [LEAST]
    append_line(path, LEAST | {"seed": 1})
    assert [one["seed"] for one in read_results(path)] == [0, 1]
    path.write_bytes(whole.removesuffix(b"\n"))  # of an editor that ends the last line with the file
    append_line(path, LEAST | {"seed": 2})
    assert [one["seed"] for one in read_results(path)] == [0, 2]


def test_results_are_read_as_they_were_added(tmp_path):
    path = tmp_path / "results.jsonl"
    assert read_results(path) == []
    results = [{**LEAST, "seed": seed, "modes": {"free": {"right": "01"}}} for seed in range(3)]
    for result in results:
        append_line(path, result)
    assert read_results(path) == results


@pytest.mark.parametrize("broken", ['{"label": "cot", "se', "[]", "5", "{}", ""])
def test_a_broken_line_is_named_by_its_number(tmp_path, broken):
    path = tmp_path / "results.jsonl"
    path.write_text(f"{json.dumps(LEAST)}\n{broken}\n{json.dumps(LEAST)}\n")
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}:2: is no result .* delete the line"):
        read_results(path)


MEASURED = {
    "check": "exact",
    "decoding": "plain",
    "engine": None,
    "samples": 2,
    "rows": 3,
    "loss": {"m=0": {"loss": 1.23456789, "tokens": 9}},
    "modes": {
        "free": {
            "accuracy": 0.5,
            "interval": [0.1111111111, 0.9],
            "solved": 2 / 3,
            "right": 3,
            "answers": 6,
            "tokens": {"total": 7.0, "paper_tokens": 7.0, "latent": 1.0},
            "latents": 1.0,
            "cut_off": 0.0,
            "unreadable": 0.0,
            "seconds": 0.5,
        }
    },
}


@pytest.fixture
def measured(tmp_path):
    """Write an evaluation, with figures beside the usual ones; returns the file of figures."""
    lines = answers({"free": [[1, 1], [0, 0], [1, 0]]})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "a.jsonl").write_text(text)
    finished = {"identity": {"run": "hub/model"}, "lines": 6, "sha256": hashlib.sha256(text.encode()).hexdigest()}

    def write(**more):
        (tmp_path / "a.json").write_text(json.dumps(sealed({**MEASURED, "finished": finished, **more})))
        return tmp_path / "a.json"

    return write


def test_answers_of_another_run_or_changed_ones_are_no_result(tmp_path, measured):
    figures = measured()
    assert make_result({}, figures, None, {}, run=Path("hub/model"))["modes"]["free"]["right"] == "201"
    with pytest.raises(InputError, match=r"a.json: is of another run than the one that is in hub/other now; delete"):
        make_result({}, figures, None, {}, run=Path("hub/other"))
    figures.write_text(figures.read_text().replace("0.5,", "0.75,", 1))
    with pytest.raises(InputError, match=r"a.json: is not as it was written \(its content has changed"):
        make_result({}, figures, None, {})
    figures, lines = measured(), (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(InputError, match=r"a.jsonl: changed since it was written\); delete it to measure again"):
        make_result({}, figures, None, {})


def test_a_result_joins_cell_figures_answers_stage_1_and_seconds(tmp_path, measured):
    measured()
    codebook = {"codebook_size": 4, "codes_used": 3, "code_gap": 0.987654321, "unigram_accuracy": 0.1}
    (tmp_path / "manifest.json").write_text(json.dumps(whole_manifest(codebook=codebook)))
    seconds = {"train": {"wall": 3.0, "cpu": 2.0}}
    result = make_result({"label": "x", "seed": 1}, tmp_path / "a.json", tmp_path / "manifest.json", seconds)
    assert (result["label"], result["seed"], result["seconds"]) == ("x", 1, seconds)
    assert (result["check"], result["samples"], result["rows"]) == ("exact", 2, 3)
    assert result["decoding"] == "plain"
    free = result["modes"]["free"]
    assert free["right"] == "201" and free["solved"] == 0.666667 and free["interval"] == [0.111111, 0.9]
    assert free["tokens"] == MEASURED["modes"]["free"]["tokens"] and "answers" not in free
    assert result["loss"] == {"m=0": {"loss": 1.23457, "tokens": 9}}
    assert result["alerts"] == [] and result["latents_right"] is None
    assert result["stage1"] == {"codebook_size": 4, "codes_used": 3, "code_gap": 0.987654}
    assert (result["objective"], result["align"]) == ("reconstruction", "fixed")
    json.dumps(result)
    told = {"objective": "predictive", "align": "step", "codebook": {"prior_top1": 0.5, "other": 1}}
    (tmp_path / "manifest.json").write_text(json.dumps(whole_manifest(**told)))
    result = make_result({}, tmp_path / "a.json", tmp_path / "manifest.json", seconds, 0.123456789)
    assert result["latents_right"] == 0.123457
    assert [alert.split(":")[0] for alert in result["alerts"]] == ["latents not learned"]
    assert (result["objective"], result["align"], result["stage1"]) == ("predictive", "step", {"prior_top1": 0.5})
    measured(decoding="kind")
    result = make_result({}, tmp_path / "a.json", None, seconds)
    assert result["stage1"] is None and result["decoding"] == "kind" and "objective" not in result
