"""MATH, MetaMathQA and DART-Math: rows in their published layouts, invented, as no copy of them is at hand."""

import json
import logging

import pytest

from mixlm.errors import InputError
from mixlm.tasks.mathematics import competition as competition_math
from mixlm.tasks.mathematics import dart as dart_math
from mixlm.tasks.mathematics import metamath
from mixlm.tasks.splits import is_valid


def write_lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def problem(number, split="train"):
    """A row of MATH."""
    return {
        "problem": f"What is ${number} + 1$ ({split})?",
        "level": "Level 5",
        "type": "Number Theory",
        "solution": f"Adding one,\n\n\\[{number} + 1 = \\boxed{{{number + 1}}}.\\]",
    }


@pytest.fixture
def math_folder(tmp_path, monkeypatch):
    """Twelve training and three test problems in folders, as MATH is unpacked; "valid" is four."""
    monkeypatch.setattr(competition_math, "VALID_ROWS", 4)
    for split, count in (("train", 12), ("test", 3)):
        subject = tmp_path / "MATH" / split / "number_theory"
        subject.mkdir(parents=True)
        for number in range(count):
            (subject / f"{number}.json").write_text(json.dumps(problem(number, split), indent=4))
    return tmp_path / "MATH"


class TestMath:
    def test_row(self, math_folder):
        first = next(competition_math.load("test", source=math_folder))
        assert first == {
            "question": "What is $0 + 1$ (test)?",
            "steps": ["Adding one,", r"\[0 + 1 = \boxed{1}.\]"],
            "answer": "1",
            "subject": "Number Theory",
            "level": "5",
        }

    def test_test_is_the_published_one_and_train_is_cut_in_two(self, math_folder):
        rows = {split: list(competition_math.load(split, source=math_folder)) for split in competition_math.SPLITS}
        assert {split: len(found) for split, found in rows.items()} == {"train": 8, "valid": 4, "test": 3}
        assert len({row["question"] for found in rows.values() for row in found}) == 15
        numbers = [int(row["answer"]) for row in rows["train"]]
        assert numbers == sorted(numbers)

    @pytest.mark.parametrize("layout", ["file", "hub"])
    def test_other_layouts_give_the_same_rows(self, math_folder, tmp_path, layout):
        hub = tmp_path / "hub"
        hub.mkdir()
        files = {}
        for split, count in (("train", 12), ("test", 3)):
            files[split] = write_lines(hub / f"{split}.jsonl", [problem(number, split) for number in range(count)])
        for split in competition_math.SPLITS:
            given = hub if layout == "hub" else files["test" if split == "test" else "train"]
            assert list(competition_math.load(split, source=given)) == list(
                competition_math.load(split, source=math_folder)
            )

    def test_hub_has_a_configuration_for_each_subject(self, monkeypatch):
        """By default the seven are read one after the other."""
        monkeypatch.delenv("MIXLM_DATA", raising=False)
        asked = []

        def read(name, split):
            asked.append((name, split))
            yield f"{name}:1", {**problem(len(asked)), "type": name}

        monkeypatch.setattr("mixlm.tasks.sources.read_rows", read)
        rows = list(competition_math.load("test"))
        assert [row["subject"] for row in rows] == [name for name, _ in asked]
        assert {split for _, split in asked} == {"test"}
        assert [name.removeprefix("EleutherAI/hendrycks_math:") for name, _ in asked] == [
            *("algebra", "counting_and_probability", "geometry", "intermediate_algebra"),
            *("number_theory", "prealgebra", "precalculus"),
        ]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"problem": "p", "solution": "no box"}, r"'solution' has no \\boxed"),
            ({"question": "p"}, "no text in column 'solution'"),
            ([1], "is no JSON object"),
        ],
    )
    def test_row_of_another_kind_is_an_error(self, math_folder, row, message):
        (math_folder / "test" / "number_theory" / "9.json").write_text(json.dumps(row))
        with pytest.raises(InputError, match=f"9.json: .*{message}"):
            list(competition_math.load("test", source=math_folder))

    def test_damaged_file_is_an_error(self, math_folder):
        (math_folder / "test" / "number_theory" / "9.json").write_text("{")
        with pytest.raises(InputError, match="9.json: not valid JSON"):
            list(competition_math.load("test", source=math_folder))

    def test_real_solutions_hold_the_published_answers(self, data_folder):
        """MATH-500 has MATH's columns and the answers beside them."""
        published = [json.loads(line) for line in (data_folder / "math500" / "test.jsonl").open()]
        rows = list(competition_math.load("test", source=data_folder / "math500" / "test.jsonl"))
        assert [row["answer"] for row in rows] == [row["answer"] for row in published]
        assert all(row["steps"] and row["subject"] and row["level"] in "12345" for row in rows)


def meta(number, kind="GSM_Rephrased", origin=None):
    """A row of MetaMathQA."""
    mark = f"\n#### {number}" if kind.startswith("GSM") else f" So $x = \\boxed{{{number}}}$."
    return {
        "type": kind,
        "query": f"How much is {number}, reworded?",
        "original_question": origin or f"How much is {number}?",
        "response": f"It is {number}.\n\nIndeed.{mark}\nThe answer is: {number}",
    }


class TestMetaMath:
    def test_row(self, tmp_path):
        rows = [meta(752, origin="How much is 1?"), meta(r"\frac{1}{2}", "MATH_AnsAug", "How much is 1?")]
        assert list(metamath.load(source=write_lines(tmp_path / "a.jsonl", rows))) == [
            {
                "question": "How much is 752, reworded?",
                "steps": ["It is 752.", "Indeed."],
                "answer": "752",
                "type": "GSM_Rephrased",
                "original_question": "How much is 1?",
            },
            {
                "question": r"How much is \frac{1}{2}, reworded?",
                "steps": [r"It is \frac{1}{2}.", r"Indeed. So $x = \boxed{\frac{1}{2}}$."],
                "answer": r"\frac{1}{2}",
                "type": "MATH_AnsAug",
                "original_question": "How much is 1?",
            },
        ]

    def test_wordings_of_one_question_are_in_one_split(self, tmp_path):
        rows = [meta(f"{number}.{copy}", origin=f"origin {number}") for number in range(400) for copy in range(2)]
        source = write_lines(tmp_path / "a.jsonl", rows)
        found = {split: list(metamath.load(split, source=source)) for split in metamath.SPLITS}
        origins = {split: {row["original_question"] for row in made} for split, made in found.items()}
        assert not origins["train"] & origins["valid"]
        assert sum(map(len, found.values())) == 800
        assert 1 <= len(origins["valid"]) <= 15  # 4 of 400 are expected
        assert len(found["valid"]) == 2 * len(origins["valid"])
        assert origins["valid"] == {f"origin {number}" for number in range(400) if is_valid(f"origin {number}")}

    def test_excluded_questions_are_left_out_in_every_wording(self, tmp_path):
        rows = [meta(1, origin="a"), meta(2, origin="a"), meta(3, origin="b"), meta(4, origin="c")]
        source = write_lines(tmp_path / "a.jsonl", rows)
        banned = write_lines(tmp_path / "b.jsonl", [{"question": "a"}, {"question": rows[3]["query"]}])
        kept = [row for split in metamath.SPLITS for row in metamath.load(split, source=source, exclude=banned)]
        assert [row["original_question"] for row in kept] == ["b"]

    def test_rows_without_an_answer_are_left_out_and_counted(self, tmp_path, caplog):
        rows = [meta(1), {**meta(2), "response": "Who knows?"}]
        with caplog.at_level(logging.WARNING):
            assert len(list(metamath.load(source=write_lines(tmp_path / "a.jsonl", rows)))) == 1
        assert "metamath: 1 solutions mark no answer and were left out" in caplog.text

    def test_file_without_answers_is_an_error(self, tmp_path):
        source = write_lines(tmp_path / "a.jsonl", [{**meta(1), "response": "Who knows?"}])
        with pytest.raises(InputError, match="none of 1 solutions marks its answer"):
            list(metamath.load(source=source))
        with pytest.raises(InputError, match="no text in column 'query'"):
            list(metamath.load(source=write_lines(tmp_path / "b.jsonl", [{"question": "q"}])))


class TestDartMath:
    def test_row_and_splits(self, tmp_path):
        rows = [
            {"query": f"question {number}?", "response": f"Well,\nit is $\\boxed{{{number}}}$."}
            for number in range(400)
        ]
        source = write_lines(tmp_path / "a.jsonl", rows)
        found = {split: list(dart_math.load(split, source=source)) for split in dart_math.SPLITS}
        assert found["train"][0] == {
            "question": "question 0?",
            "steps": ["Well,", r"it is $\boxed{0}$."],
            "answer": "0",
        }
        assert (
            {row["question"] for row in found["valid"]}
            == {row["query"] for row in rows if is_valid(row["query"])}
            != set()
        )
        assert len(found["train"]) + len(found["valid"]) == 400

    @pytest.mark.parametrize("variant", ["uniform", "hard"])
    def test_variants_are_two_data_sets(self, monkeypatch, variant):
        monkeypatch.delenv("MIXLM_DATA", raising=False)
        with pytest.raises(InputError, match=f"hkust-nlp/dart-math-{variant}: .*'train'"):
            list(dart_math.load(variant=variant))
