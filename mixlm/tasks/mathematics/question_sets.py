"""Mathematical test sets: questions with an answer each and no solution, hence rows with an empty trace.

A row is made of the columns that the set's table entry names, for example of SVAMP::

    {"ID": "chal-1", "Body": "Each pack of dvds costs 76 dollars. If there is a discount of 25 dollars on each pack",
     "Question": "How much do you have to pay to buy each pack?", "Equation": "( 76.0 - 25.0 )", "Answer": 51.0, ..}

    {"question": "Each pack of dvds costs 76 dollars. If there is a discount of 25 dollars on each pack How much ..?",
     "steps": [], "answer": "51", "id": "chal-1", "type": "Subtraction"}

Answers are as published but for numbers such as 51.0, which lose their point. Nothing here is for training, so the one
split is "test". The sets are those that the papers report, in the sizes that they report.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mixlm.data.reading import RawRow
from mixlm.errors import InputError
from mixlm.tasks import CheckName
from mixlm.tasks.sources import Source, text_of
from mixlm.tasks.splits import require_split


@dataclass(frozen=True)
class QuestionSet:
    """A test set as a task.

    Attributes:
        name: Of the task.
        about: What it is, from where, under which licence; the documentation of the task.
        file: Its file below the folder of real data.
        hub: Where the Hub has it, see ``Source``.
        CHECK: How its answers are compared.
        context: Column of what is said before the question, if a row has any.
        questions: Names of the question's column, in different copies of the set; the first that a row has.
        answers: Names of the answer's column, likewise.
        columns: The set's own columns that rows keep, in lower case.
    """

    SPLITS: ClassVar[tuple[str, ...]] = ("test",)

    name: str
    about: str
    file: str
    hub: tuple[tuple[str, str], ...] = ()
    CHECK: CheckName = "math"
    context: str | None = None
    questions: tuple[str, ...] = ("question",)
    answers: tuple[str, ...] = ("answer",)
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Let the object be documented by its set."""
        object.__setattr__(self, "__doc__", self.about)

    def load(self, split: str = "test", *, source: str | Path | None = None) -> Iterator[RawRow]:
        """Yield the rows in the order of the published file.

        Args:
            split: "test".
            source: The published file. By default found by MIXLM_DATA, else on the Hub where it is there.

        Yields:
            Rows with ``question``, ``steps``, which is empty, ``answer`` and the set's own columns.

        Raises:
            InputError: If there is no such split, there is nothing to read, or a row has no question or no answer.
        """
        require_split(split, self.SPLITS)
        for where, row in Source(self.name, self.file, self.hub).rows(source):
            question, answer = text_of(row, self.questions, where, self.name), self._answer(row, where)
            if self.context and row.get(self.context) is not None:
                question = f"{text_of(row, (self.context,), where, self.name)} {question}"
            own = {name.lower(): _text(row[name]) for name in self.columns if row.get(name) is not None}
            yield {"question": question, "steps": [], "answer": answer, **own}

    def _answer(self, row: RawRow, where: str) -> str:
        value = next((row[name] for name in self.answers if row.get(name) is not None), None)
        if answer := _text(value) if value is not None else "":
            return answer
        raise InputError(f"{where}: no column '{' or '.join(self.answers)}'; give a file of {self.name} as published")


def _text(value: Any) -> str:
    """Write a value as text: whole numbers without a point, a list of one as that one.

    >>> [_text(value) for value in (51.0, 0.5, [39.0], [1, 2.5], True, " x ")]
    ['51', '0.5', '39', '[1, 2.5]', 'True', 'x']
    """
    if isinstance(value, list):
        inner = [_text(item) for item in value]
        return inner[0] if len(inner) == 1 else f"[{', '.join(inner)}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


FRESH_GAOKAO_MATH_2023 = QuestionSet(
    "fresh-gaokao-math-2023",
    "Fresh-Gaokao-Math-2023 (Tang et al. 2024): 30 questions of the Chinese college entrance examination of 2023.\n\n"
    "Published in MWPBench and, in this form, in github.com/hkust-nlp/dart-math (MIT licence), data/dsets/mwpbench; "
    "not on the Hub as far as we know.",
    "fresh_gaokao_math_2023/fresh-gaokao-math-2023.jsonl",
    columns=("question_number",),
)
DEEPMIND_MATH = QuestionSet(
    "deepmind-math",
    "DeepMind-Math (Saxton et al. 2019): 1,000 generated questions from algebra to probability.\n\n"
    "The sample of the original (Apache 2.0) that DART-Math tests on, from github.com/hkust-nlp/dart-math (MIT "
    "licence), data/dsets; not on the Hub as far as we know.",
    "deepmind_mathematics/deepmind-mathematics.json",
)
COLLEGE_MATH = QuestionSet(
    "college-math",
    "College-Math (Tang et al. 2024): 2,818 questions from open textbooks of college mathematics.\n\n"
    "Part of MWPBench; on the Hub di-zhang-fdu/College_Math_Test. Each textbook has its own licence, which the column "
    "license names; some are not for commerce. 36 rows ask what another one asks, as published.",
    "college_math/test.jsonl",
    (("di-zhang-fdu/College_Math_Test", "test"),),
    columns=("question_number", "data_topic", "license"),
)
OLYMPIAD_BENCH = QuestionSet(
    "olympiad-bench",
    "OlympiadBench-Math (He et al. 2024): 675 English questions of mathematical olympiads, without pictures.\n\n"
    "The open-ended ones of OlympiadBench (MIT licence); on the Hub the configuration OE_TO_maths_en_COMP of "
    "Hothan/OlympiadBench, which has 674. Units are not part of the answers. One answer may be off by what its column "
    "error says, which the check does not allow.",
    "olympiadbench/test.jsonl",
    (("Hothan/OlympiadBench:OE_TO_maths_en_COMP", "train"),),
    context="context",
    answers=("final_answer",),
    columns=("id", "subfield", "answer_type", "unit", "error"),
)
THEOREM_QA = QuestionSet(
    "theorem-qa",
    "TheoremQA (Chen et al. 2023): 800 questions that take a theorem of mathematics, physics or finance.\n\n"
    "On the Hub TIGER-Lab/TheoremQA (MIT licence). Answers are numbers, truth values, lists and letters; 53 questions "
    "show a picture, which is not part of the rows. Its own script lets numbers be off by 4 %, the check does not.",
    "theoremqa/theoremqa.json",
    (("TIGER-Lab/TheoremQA", "test"),),
    questions=("Question",),
    answers=("Answer",),
    columns=("Answer_type", "id"),
)
SVAMP = QuestionSet(
    "svamp",
    "SVAMP (Patel et al. 2021): 1,000 word problems of one step that are worded to mislead.\n\n"
    "From github.com/arkilpatel/SVAMP (MIT licence); on the Hub ChilleD/SVAMP, cut in 700 and 300 rows.",
    "svamp/SVAMP.json",
    (("ChilleD/SVAMP", "train"), ("ChilleD/SVAMP", "test")),
    "number",
    context="Body",
    questions=("Question",),
    answers=("Answer",),
    columns=("ID", "Type"),
)
MULTIARITH = QuestionSet(
    "multiarith",
    "MultiArith (Roy and Roth 2015): 600 word problems of several steps.\n\n"
    "As in MAWPS, no licence given; on the Hub ChilleD/MultiArith, cut in 420 and 180 rows. 20 questions are there "
    "twice, as published; some papers leave them out.",
    "mawps/MultiArith.json",
    (("ChilleD/MultiArith", "train"), ("ChilleD/MultiArith", "test")),
    "number",
    questions=("question", "sQuestion", "input"),
    answers=("final_ans", "lSolutions", "answer", "target"),
)
GSM_HARD = QuestionSet(
    "gsm-hard",
    "GSM-Hard (Gao et al. 2023): the 1,319 test questions of GSM8K with numbers made large.\n\n"
    "From github.com/reasoning-machines/pal (Apache 2.0), datasets; on the Hub reasoning-machines/gsm-hard. "
    "Its answers come from programs: some are negative or fractions where the story has no such answer.",
    "gsm_hard/gsmhardv2.jsonl",
    (("reasoning-machines/gsm-hard", "train"),),
    "number",
    questions=("input",),
    answers=("target",),
)
MATH500 = QuestionSet(
    "math500",
    "MATH-500 (Lightman et al. 2023): 500 of the 5,000 test questions of MATH.\n\n"
    "From github.com/openai/prm800k (MIT licence); on the Hub HuggingFaceH4/MATH-500.",
    "math500/test.jsonl",
    (("HuggingFaceH4/MATH-500", "test"),),
    questions=("problem",),
    columns=("subject", "level", "unique_id"),
)
