from mixlm.sampling.counts import Counts, Sorting
from mixlm.sampling.problems import Problem, read_problem


def right(trace, question="1?"):
    return {"outcome": "right", "row": {"question": question, "reasoning": trace, "answer": "1"}}


def chat(trace, *turns):
    return {"outcome": "right", "row": {"messages": [*turns, {"role": "assistant", "reasoning_content": trace}]}}


def test_equal_traces_to_equal_questions_are_kept_once_whatever_their_white_space():
    sorting = Sorting()
    lines = [right("a b\nc"), right(" a  b c"), right("a bc"), right("a b\nc", "2?"), right("a b\nc")]
    assert [sorting.fate(line) for line in lines] == ["kept", "duplicate", "kept", "kept", "duplicate"]
    user, system = {"role": "user", "content": "1?"}, {"role": "system", "content": "s"}
    lines = [chat("a", user), chat("a", system, user), chat("a\n", user)]
    assert [sorting.fate(line) for line in lines] == ["kept", "kept", "duplicate"]
    assert [sorting.fate({"outcome": "wrong"}), sorting.fate({"error": "no"})] == ["wrong", "missing"]


def test_counts_are_of_each_question_and_of_all():
    counts, sorting = Counts(), Sorting()
    lines = [right("a"), right("a"), {"outcome": "no_trace"}, {"outcome": "wrong", "answer": "2"}, {"error": "full"}]
    lines += [{"outcome": "cut_off"}, {"outcome": "unreadable", "said": "hm"}, {"outcome": "wrong", "answer": "3"}]
    for row, answers in enumerate((lines, lines[3:])):
        sample = read_problem({"question": f"{row}?", "answer": "1"})
        told = counts.add(Problem(row, sample), answers, [sorting.fate(line) for line in answers])
    assert told == {"row": 1, "question": "1?", "sampled": 4, "right": 0, "kept": 0, "duplicate": 0, "no_trace": 0,
                    "wrong": 2, "cut_off": 1, "unreadable": 1, "missing": 1}  # fmt: skip
    assert counts.fates == {"kept": 1, "duplicate": 1, "no_trace": 1, "wrong": 4, "cut_off": 2, "unreadable": 2,
                            "missing": 2}  # fmt: skip
    assert counts.kept == {0: 1, 1: 1}
    assert counts.examples == {"wrong": ": '2' for '1'", "missing": ": full", "unreadable": ": .. 'hm'"}
