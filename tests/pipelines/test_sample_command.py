import json
import os
import signal

import pytest

from mixlm.data.samples import read_samples
from mixlm.generation.kept.part_file import PartFile
from mixlm.generation.server.seeds import seed_of
from pipelines.check import main as check
from pipelines.cli import main
from tests.calling import call_command, lines_of
from tests.chat_stub import ChatStub, chatting, message, question_in


QUESTIONS = [("1 + 1?", "2"), ("2 + 2?", 4), ("3 + 3?", "6"), ("4 + 4?", "eight")]
SAMPLES = 5


def answer(row: int, number: int) -> tuple[int, dict]:
    """What the model says to a question: right twice, in equal words, then wrong, cut off and silent."""
    right = str(2 * row + 2)
    said = [
        message(f"{row + 1} twice\nis {right}\nThe answer is: {right}"),
        message(f"The answer is: {right}", reasoning=f"{row + 1}  twice\nis {right} "),
        message("x\nThe answer is: 99"),
        message("x\nThe answer is: 2", "length"),
        message(None),
    ]
    return said[(number + row) % 5]


PLACES = {seed_of(0, row, number): (row, number) for row in range(4) for number in range(SAMPLES)}


def reply(body: dict) -> tuple[int, dict]:
    """What the server sends."""
    return answer(*PLACES[body["seed"]])


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps({"question": text, "answer": gold}) + "\n" for text, gold in QUESTIONS))
    return path


@pytest.fixture
def stub():
    return ChatStub(reply)


@pytest.fixture
def sample(questions, stub):
    """A function that runs the command."""
    with chatting(stub) as url:

        def call(out, *more, code=0):
            told = ["data", "sample", questions, "--endpoint", url, "--out", out, "--samples", SAMPLES, *more]
            return call_command(main, *told, code=code)

        yield call


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def trace(row: int, number: int, spaces: str = " ") -> dict:
    reasoning = f"{row + 1}{spaces}twice\nis {2 * row + 2}"
    return {"question": QUESTIONS[row][0], "reasoning": reasoning, "answer": str(QUESTIONS[row][1]), "check": "exact",
            "sample": number}  # fmt: skip


ROWS = [trace(0, 0), trace(1, 0, "  "), trace(2, 3)]


def counted(row: int, **fates: int) -> dict:
    none = dict.fromkeys(("kept", "duplicate", "no_trace", "wrong", "cut_off", "unreadable", "missing"), 0)
    right = fates.get("kept", 0) + fates.get("duplicate", 0)
    return {"row": row, "question": QUESTIONS[row][0], "sampled": 5, "right": right, **none, **fates}


def test_right_traces_are_written_once_with_counts_by_question(sample, tmp_path):
    result = sample(tmp_path / "traces.jsonl")
    assert lines_of(tmp_path / "traces.jsonl") == ROWS
    others = {"wrong": 1, "cut_off": 1, "unreadable": 1}
    assert lines_of(tmp_path / "traces.counts.jsonl") == [
        *(counted(row, kept=1, duplicate=1, **others) for row in range(3)),
        counted(3, wrong=3, cut_off=1, unreadable=1),
    ]
    source, out = tmp_path / "q.jsonl", tmp_path / "traces.jsonl"
    assert result.stdout.splitlines() == [
        "4 questions, 20 answers: 3 kept as traces",
        "not kept: 6 wrong, 4 cut off (--max-new-tokens), 4 without an answer that can be read, 3 duplicates",
        f"the first that is wrong: {source}:1: '99' for '2'",
        f"the first that is unreadable: {source}:1: nothing",
        "questions by their traces: 1 with none, 3 with 1",
        f"wrote {out}: 3 traces; counts by question are in {tmp_path}/traces.counts.jsonl",
    ]
    assert result.stderr.splitlines()[0] == f"answers are compared by --check exact, as {source} means it"
    assert [one.steps for one in read_samples(out)] == [("1 twice", "is 2"), ("2  twice", "is 4"), ("3 twice", "is 6")]
    assert f"{out}: whole (answers, 3 as they were written)" in call_command(check, out).stdout


def test_settings_are_sent_and_the_check_is_stored(sample, stub, tmp_path):
    stub.reply = lambda body: message("so\n### 2.0")
    sample(tmp_path / "o.jsonl", "--check", "number", "--prompt", "Now\\n{question}", "--answer-pattern", "### (.*)",
           "--max-new-tokens", 7, "--temperature", 1.5, "--top-p", 0.9, "--stop", "\\n\\n", "--limit", 1, "--seed", 1,
           "--samples", 1, "--model", "one")  # fmt: skip
    row = {"question": "1 + 1?", "reasoning": "so", "answer": "2", "check": "number", "sample": 0}
    assert lines_of(tmp_path / "o.jsonl") == [row]
    turns = [{"role": "user", "content": "Now\n1 + 1?"}]
    body = {"model": "one", "messages": turns, "temperature": 1.5, "top_p": 0.9, "seed": seed_of(1, 0, 0),
            "stop": ["\n\n"], "max_tokens": 7}  # fmt: skip
    assert stub.asked == [("/v1/chat/completions", body)]


def test_a_model_without_a_chat_goes_on_with_a_text(sample, stub, tmp_path):
    done = {"finish_reason": "stop", "text": " 1 and 1\nThe answer is: 2"}
    stub.reply = lambda body: (200, {"choices": [done]})
    sample(tmp_path / "o.jsonl", "--completions", "--temperature", 0, "--samples", 1)
    assert lines_of(tmp_path / "o.jsonl")[0]["reasoning"] == "1 and 1"
    path, body = stub.asked[0]
    assert path == "/v1/completions" and body["prompt"].startswith("Question: 1 + 1?\n\nReason")
    assert "seed" not in body and body["temperature"] == 0


def test_chats_are_sent_and_written_as_they_are(sample, stub, questions, tmp_path):
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    rows = [{"messages": turns, "answer": "2", "id": 4}, {"system": "s", "question": "q?", "answer": "2"}]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stub.reply = lambda body: message("The answer is: 2", reasoning="one\n\ntwo")
    sample(tmp_path / "o.jsonl", "--samples", 1)
    last = {"role": "assistant", "content": "2", "reasoning_content": "one\ntwo"}
    more = {"answer": "2", "check": "exact", "sample": 0}
    assert lines_of(tmp_path / "o.jsonl") == [
        {"messages": [*turns, last], "id": 4, **more},
        {"system": "s", "question": "q?", "reasoning": "one\ntwo", **more},
    ]
    said = [body["messages"] for _, body in stub.asked]
    assert said == [turns, [{"role": "system", "content": "s"}, {"role": "user", "content": "q?"}]]
    assert [one.needs_chat for one in read_samples(tmp_path / "o.jsonl")] == [True, False]


def test_the_same_command_goes_on_and_ends_with_the_same_bytes(sample, stub, tmp_path, monkeypatch):
    sample(tmp_path / "whole.jsonl")
    whole, out, append = (tmp_path / "whole.jsonl").read_bytes(), tmp_path / "out.jsonl", PartFile.append

    class Killed(BaseException):
        pass

    def killed(self, lines):
        if sum(1 for _ in self.lines()) == kept:
            raise Killed
        return append(self, lines)

    made = []
    for kept in (0, 1, 7, 19):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(PartFile, "append", killed)
            arguments = ["data", "sample", tmp_path / "q.jsonl", "--endpoint", stub.url, "--out", out]
            main.main([*map(str, arguments), "--samples", "5"], standalone_mode=False)
        assert not out.exists()
        made.clear()
        with monkeypatch.context() as patched:
            patched.setattr(PartFile, "append", lambda *given: (made.append(given[1]), append(*given))[1])
            sample(out, "--concurrency", 3)
        assert len(made) == 20 - kept and out.read_bytes() == whole
        assert (tmp_path / "out.counts.jsonl").read_bytes() == (tmp_path / "whole.counts.jsonl").read_bytes()
        out.unlink()


def test_an_end_that_is_asked_for_keeps_what_came_and_resume_knows_the_rest(sample, stub, tmp_path, monkeypatch):
    out, whole, append = tmp_path / "out.jsonl", tmp_path / "whole.jsonl", PartFile.append
    sample(whole, "--check", "number")
    with monkeypatch.context() as patched:
        patched.setattr(PartFile, "append", lambda *given: (os.kill(os.getpid(), signal.SIGINT), append(*given))[1])
        result = sample(out, "--check", "number", "--concurrency", 1, code=130)
    assert result.stderr.splitlines()[-1] == (
        "Error: interrupted; 1 of 20 answers are kept, and the same command goes on after them"
    )
    call_command(main, "data", "sample", "--resume", out)
    assert out.read_bytes() == whole.read_bytes()


def test_what_is_finished_needs_no_server(sample, stub, questions, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    out = tmp_path / "out.jsonl"
    sample(out)
    before, asked = out.read_bytes(), len(stub.asked)
    gone = ["data", "sample", questions, "--endpoint", "http://127.0.0.1:1", "--out", out, "--samples", SAMPLES]
    shown = call_command(main, "data", "sample", "--resume", out).stderr
    assert shown.splitlines()[-1] == f"{out}: already sampled, 3 traces; nothing to do"
    for more in ([], ["--model", "served"], ["--concurrency", 2]):
        shown = call_command(main, *gone, *more).stderr
        assert shown.splitlines()[-1] == f"{out}: already sampled, 3 traces; nothing to do"
    assert len(stub.asked) == asked and out.read_bytes() == before
    for more in (
        ["--seed", 1],
        ["--model", "other"],
        ["--samples", 4],
        ["--check", "number"],
        ["--prompt", "{question}"],
    ):
        call_command(main, *gone, "--model", "served", *more, code=1)
    questions.write_text(questions.read_text().replace('"6"', '"7"'))
    assert "no server answers" in call_command(main, *gone, code=1).stderr
    assert out.read_bytes() == before


def test_a_server_that_ends_in_the_middle_loses_nothing(sample, stub, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    sample(whole)
    stub.reply = lambda body: reply(body) if len(stub.asked) < 28 else (503, {"error": {"message": "busy"}})
    result = sample(out, "--concurrency", 1, code=1)
    assert result.stderr.splitlines()[-1] == (
        f"Error: {stub.url}/v1: no server answers (status 503, busy); start one, or check --endpoint; 7 of 20 answers "
        "are kept, and the same command goes on after them"
    )
    assert not out.exists()
    stub.reply = reply
    sample(out)
    assert out.read_bytes() == whole.read_bytes()


def test_questions_that_change_meanwhile_are_told(sample, stub, questions, tmp_path):
    def changing(body):
        questions.write_text(questions.read_text().replace("eight", "8"))
        return reply(body)

    stub.reply = changing
    told = sample(tmp_path / "out.jsonl", code=1).stderr.splitlines()[-1]
    assert told == f"Error: {questions}: the questions have changed meanwhile; give the command again"
    assert names(tmp_path) == {"q.jsonl", ".out.jsonl.part"}


def test_a_question_that_is_refused_is_missing_and_asked_again(sample, stub, questions, tmp_path):
    out = tmp_path / "out.jsonl"
    stub.reply = lambda body: reply(body) if "2 + 2" not in question_in(body) else (400, {"error": "too long"})
    result = sample(out, code=1)
    assert result.stderr.splitlines()[-1] == (
        f"Error: 5 of 20 answers are missing, the first to {questions}:2: status 400, too long; the same command asks "
        "for them again"
    )
    assert lines_of(out) == [ROWS[0], ROWS[2]] and "5 missing" in result.stdout
    assert lines_of(tmp_path / "out.counts.jsonl")[1] == {**counted(1, missing=5), "sampled": 0}
    assert "out.jsonl.mixlm" not in names(tmp_path)
    stub.reply, asked = reply, len(stub.asked)
    sample(out)
    assert lines_of(out) == ROWS and len(stub.asked) == asked + 5 and "out.jsonl.mixlm" in names(tmp_path)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (lambda body: (400, {"error": "no"}), "none of 20 answers was given, the first to {}:1: status 400, no"),
        (lambda body: message("x\nThe answer is: 99"), "none of 20 answers is a trace to keep; nothing was written"),
        (lambda body: (200, b"hm"), "/v1: its answer is none of a server of chats; check --endpoint"),
    ],
)
def test_where_nothing_is_kept_nothing_is_written(sample, stub, questions, tmp_path, said, message):
    stub.reply = said
    (tmp_path / "out.jsonl").write_text("precious")
    assert sample(tmp_path / "out.jsonl", code=1).stderr.splitlines()[-1].endswith(message.format(questions))
    assert (tmp_path / "out.jsonl").read_text() == "precious"
    kept = {".out.jsonl.part"} if "keep" in message else set()  # answers, and no refusals
    assert names(tmp_path) == {"q.jsonl", "out.jsonl", *kept}


def test_mistakes_are_one_line_before_anybody_is_asked(sample, stub, questions, tmp_path):
    out = tmp_path / "out.jsonl"
    (tmp_path / "taken.counts.jsonl").mkdir()
    for more, code, told in (
        (["--temperature", 0], 2, "--temperature 0: all answers to a question would be equal; add --samples 1"),
        (["--prompt", "Why?"], 1, "--prompt 'Why?': must hold {question} exactly once"),
        (["--answer-pattern", "("], 1, "--answer-pattern '(': no regular expression"),
        (["--out", questions], 1, "is what is read, and would be lost; give another place"),
        (["--out", tmp_path / "no" / "out.jsonl"], 1, "cannot be written"),
        (["--check", "maze"], 1, "maze"),
        (["--out", tmp_path / "taken.jsonl"], 1, "taken.counts.jsonl: cannot be written (is no file)"),
        (["--endpoint", "nowhere"], 1, "--endpoint nowhere: is no address of a server"),
    ):
        shown = sample(out, *more, code=code).stderr.splitlines()[-1]
        assert shown.startswith("Error: ") and told in shown
    with questions.open("a") as file:
        file.write('{"question": "5 + 5?"}\n')
    assert "q.jsonl:5: has no answer" in sample(out, code=1).stderr
    assert not stub.asked and names(tmp_path) == {"q.jsonl", "taken.counts.jsonl"}
    (tmp_path / "bad.jsonl").write_text('{"question": "5?"}\n')
    none = ["data", "sample", tmp_path / "bad.jsonl", "--endpoint", stub.url, "--out", out, "--skip-bad-rows"]
    assert "no questions with answers; 1 left out, malformed or" in call_command(main, *none, code=1).stderr
    assert "left out 1 row that is malformed or has no answer" in sample(out, "--skip-bad-rows").stdout
    assert lines_of(out) == ROWS


def test_rows_with_traces_are_questions_too_and_the_rules_of_their_answers_are_told(sample, questions, stub, tmp_path):
    rows = [{"question": f"{row}?", "answer": f"old\n#### {row}"} for row in range(2)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stub.reply = lambda body: message(f"new\nThe answer is: {question_in(body)[0]}.0")
    shown = sample(tmp_path / "o.jsonl", "--samples", 1).stderr.splitlines()
    assert shown[0] == f"answers are compared by --check number, as {questions} means it"
    assert shown[1] == "right answers: 2 after '####'"
    assert [(row["reasoning"], row["answer"]) for row in lines_of(tmp_path / "o.jsonl")] == [
        ("new", "0"),
        ("new", "1"),
    ]


def test_answers_that_another_check_reads_better_are_told(sample, questions, tmp_path):
    told = "note: all answers are numbers; with --check number '72 clips', '$72' and '72.0' are 72, too"
    assert told not in sample(tmp_path / "a.jsonl").stderr
    assert told in sample(tmp_path / "b.jsonl", "--limit", 3).stderr
    shown = sample(tmp_path / "c.jsonl", "--check", "number").stderr
    assert f"--check number cannot read 1 of the first 4 right answers, such as 'eight' in {questions}:4" in shown
