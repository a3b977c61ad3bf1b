import json
import os
import signal
from functools import partial

import pytest

from mixlm.generation.kept.lines import KeptLines
from mixlm.generation.kept.part_file import PartFile
from mixlm.generation.questions import Questions
from pipelines.generate import main
from tests.calling import call_command, lines_of
from tests.launching import launch
from tests.tiny_runs import saved_run


call = partial(call_command, main)
QUESTIONS = [f"{n} + {7 * n % 11}{' + 1' * (n % 4)}?" for n in range(10)]
GREEDY, SAMPLED = (), ("--temperature", 1.5, "--seed", 5, "--samples", 2)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr("mixlm.generation.questions.WINDOW", 4)


@pytest.fixture
def options(tmp_path):
    source = tmp_path / "questions.jsonl"
    source.write_text("".join(json.dumps({"question": text}) + "\n" for text in QUESTIONS))
    return ("--input", source, "--latents", "max:2", "--max-new-tokens", 6, "--batch-size", 3)


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Killed(BaseException):
    """Stands for the end of a process, which runs nothing more."""


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_cut_off_anywhere_the_same_command_ends_with_the_same_bytes(run, options, sampling, tmp_path, monkeypatch):
    whole, out, part = tmp_path / "whole.jsonl", tmp_path / "out.jsonl", tmp_path / ".out.jsonl.part"
    with monkeypatch.context() as patched:
        patched.setattr(KeptLines, "discard", lambda self: None)  # as if it were killed before it can
        call(run.path, *options, *sampling, "--output", whole)
    kept = (tmp_path / ".whole.jsonl.part").read_bytes()
    assert [record["question"] for record in lines_of(whole)][:: 2 if sampling else 1] == QUESTIONS
    ends = [place + 1 for place, byte in enumerate(kept) if byte == ord("\n")]
    for size in {0, 1, *ends[::3], *(end - 7 for end in ends[1::3])}:
        part.write_bytes(kept[:size])
        assert f"wrote {out}" in call(run.path, *options, *sampling, "--output", out).stdout
        assert out.read_bytes() == whole.read_bytes()
        assert names(tmp_path) == {*(f"{name}.jsonl{end}" for name in ("out", "whole") for end in ("", ".mixlm")),
                                   ".whole.jsonl.part", "questions.jsonl"}  # fmt: skip
        out.unlink()


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_only_what_is_missing_is_decoded(run, options, before, tmp_path, monkeypatch):
    out, appended, append = tmp_path / "out.jsonl", [], PartFile.append

    def counted(self, lines):
        if len(appended) == before:
            raise Killed
        appended.append(len(lines))
        return append(self, lines)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(PartFile, "append", counted)
        main.main([str(run.path), *map(str, options), "--output", str(out)], standalone_mode=False)
    assert not out.exists()
    monkeypatch.setattr(PartFile, "append", lambda *given: appended.append(len(given[1])) or append(*given))
    call(run.path, *options, "--output", out)
    assert appended == [3, 1, 3, 1, 2]  # windows of four, batches of three


@pytest.mark.parametrize("moment", ["before the output", "before it says that it is whole", "before the part goes"])
def test_killed_at_the_end_it_is_finished_by_the_same_command(run, options, moment, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    where = {"before the output": "lines.whole_path", "before it says that it is whole": "finished.write_sealed"}
    with monkeypatch.context() as patched, pytest.raises(Killed):
        place = where.get(moment, "lines.KeptLines.discard")
        patched.setattr(f"mixlm.generation.kept.{place}", lambda *_: (_ for _ in ()).throw(Killed))
        main.main([str(run.path), *map(str, options), "--output", str(out)], standalone_mode=False)
    monkeypatch.setattr("mixlm.run.Run.load_model", None)  # nothing is to be decoded
    shown = call(run.path, *options, "--output", out).output
    done = "already answered" in shown if moment == "before the part goes" else f"wrote {out}: 10 answers" in shown
    assert done and len(lines_of(out)) == 10
    assert names(tmp_path) == {"out.jsonl", "out.jsonl.mixlm", "questions.jsonl"}


@pytest.mark.usefixtures("hangups_end")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_end_that_is_asked_for_waits_for_the_batch_and_says_what_is_kept(
    run, options, signum, tmp_path, monkeypatch
):
    out, whole, append = tmp_path / "out.jsonl", tmp_path / "whole.jsonl", PartFile.append

    def ended(self, lines):
        os.kill(os.getpid(), signum)
        return append(self, lines)

    with monkeypatch.context() as patched:
        patched.setattr(PartFile, "append", ended)
        result = call(run.path, *options, "--output", out, code=128 + signum)
    assert result.stderr == ("Error: interrupted; 3 of 10 answers are kept, and the same command goes on after them\n")
    assert names(tmp_path) == {".out.jsonl.part", "questions.jsonl"}
    call(run.path, *options, "--output", whole)
    call("--resume", out)  # knows what it was told
    assert out.read_bytes() == whole.read_bytes()
    assert "already answered, 10 answers; nothing to do" in call("--resume", out).stderr
    assert "no command that can go on has begun to write it" in call("--resume", tmp_path / "no", code=2).stderr


def test_another_command_leaves_what_is_kept_and_the_old_output_until_its_own_is_whole(
    run, options, tmp_path, monkeypatch
):
    out, append = tmp_path / "out.jsonl", PartFile.append
    call(run.path, *options, "--output", out, "--seed", 1)
    old, other = out.read_bytes(), ("--max-new-tokens", 7)
    for more in (other, ("--temperature", 1)):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(PartFile, "append", lambda *given: (append(*given), (_ for _ in ()).throw(Killed)))
            main.main([str(run.path), *map(str, (*options, *more)), "--output", str(out)], standalone_mode=False)
        assert out.read_bytes() == old and (tmp_path / "out.jsonl.mixlm").exists()
    shown = call(run.path, *options, *other, "--output", out)
    assert f"note: answers of another command to {out} are put aside in {tmp_path}/.out.jsonl.part." in shown.stderr
    assert out.read_bytes() != old and f"wrote {out}" in shown.stdout
    (tmp_path / ".out.jsonl.part").write_bytes(next(tmp_path.glob(".out.jsonl.part.*")).read_bytes())
    again = call(run.path, *options, *other, "--output", out)
    assert "already answered" in again.stderr and not again.stdout  # and what others have begun stays where it is
    (tmp_path / ".out.jsonl.part").unlink()
    (aside,) = names(tmp_path) - {"out.jsonl", "out.jsonl.mixlm", "questions.jsonl"}
    assert aside.startswith(".out.jsonl.part.")


def test_other_questions_and_another_run_are_other_commands_and_a_moved_run_is_not(run, options, tmp_path):
    out, source = tmp_path / "out.jsonl", options[1]
    call(run.path, *options, "--output", out)
    moved = run.path.rename(run.path.with_name("moved"))
    assert "already answered" in call(moved, *options, "--output", out).stderr
    moved.rename(run.path)
    source.write_text(source.read_text().replace("0 + 0?", "0 + 1?"))
    assert f"wrote {out}" in call(run.path, *options, "--output", out).stdout
    other = saved_run(tmp_path / "other", "cot")
    assert f"wrote {out}" in call(other.path, *options[:2], "--output", out).stdout
    out.write_text("changed\n")
    assert f"wrote {out}" in call(other.path, *options[:2], "--output", out).stdout


def test_a_bad_question_at_the_end_is_found_before_the_first_answer(run, options, tmp_path, monkeypatch):
    monkeypatch.setattr("mixlm.run.Run.load_model", None)
    source = options[1]
    before = source.read_text()
    for bad, message in (('{"text": 1}', ":11: "), (json.dumps({"question": "2" * 99}), "the prompt has 100 tokens")):
        source.write_text(before + bad + "\n")
        assert message in call(run.path, *options, "--output", tmp_path / "out.jsonl", code=1).stderr
        assert names(tmp_path) == {"questions.jsonl"}


@pytest.mark.parametrize("change", ["fewer", "another", "more"])
def test_questions_that_change_meanwhile_are_told(run, options, change, tmp_path, monkeypatch):
    windows, passes = Questions.__iter__, []

    def changing(self):
        passes.append(1)
        read = [*windows(self)]
        later = {"fewer": read[:-1], "another": [*read[:-1], read[-1][:1]], "more": [*read, read[0]]}
        return iter(read if len(passes) == 1 else later[change])

    monkeypatch.setattr(Questions, "__iter__", changing)
    result = call(run.path, *options, "--output", tmp_path / "out.jsonl", code=1)
    kept = 10 if change == "more" else 8
    assert f"the questions have changed meanwhile; give the command again; {kept} of 10 answers" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_part_that_somebody_removes_meanwhile_costs_nothing(run, options, tmp_path, monkeypatch):
    append, part = PartFile.append, tmp_path / ".out.jsonl.part"
    monkeypatch.setattr(PartFile, "append", lambda *given: (append(*given), part.unlink(missing_ok=True))[0])
    assert "10 answers" in call(run.path, *options, "--output", tmp_path / "out.jsonl").stdout
    assert len(lines_of(tmp_path / "out.jsonl")) == 10


SHARED = """
from mixlm.generation import questions
from pipelines.generate import main
questions.WINDOW = 4
main()
"""


def test_processes_go_on_with_the_answers_of_another_number_of_them(run, options, tmp_path, warm, monkeypatch):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr(KeptLines, "discard", lambda self: None)
        call(run.path, *options, "--output", one)
    lines = (tmp_path / ".one.jsonl.part").read_bytes().splitlines(keepends=True)
    (tmp_path / ".two.jsonl.part").write_bytes(b"".join([lines[0], *lines[2:5]]))
    (tmp_path / ".two.jsonl.part-5").write_bytes(b"".join([lines[0], *lines[7:]]))
    for shown in (f"wrote {two}: 10 answers", "already answered, 10 answers; nothing to do"):
        done = launch(warm, tmp_path, SHARED, [str(run.path), *map(str, options), "--output", str(two)])
        assert done.returncode == 0, done.stderr[-2000:]
        assert (done.stdout + done.stderr).count(shown) == 1 and two.read_bytes() == one.read_bytes()
    assert not [name for name in names(tmp_path) if name.startswith(".two")]
