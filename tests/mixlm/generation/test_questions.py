import json

import pytest

from mixlm.data.samples import read_question
from mixlm.errors import InputError
from mixlm.generation.answers import read_answer
from mixlm.generation.engine import Engine
from mixlm.generation.explain import Reading
from mixlm.generation.options import parse_latent_mode
from mixlm.generation.questions import Answered, Question, Questions, readable_ids, single_question
from mixlm.model.special_tokens import special_ids
from tests.tiny_runs import byte_tokenizer, tiny_run


TOKENIZER = byte_tokenizer()
RUN = tiny_run(ids=special_ids(TOKENIZER))
ENGINE = Engine(RUN, tokenizer=TOKENIZER)


def read_questions(path, answerer) -> list[Question]:
    return [question for window in Questions(path, answerer) for question in window]


@pytest.mark.parametrize("window", [1, 3, 4, 9])
def test_windows_are_all_questions_in_their_order_whenever_they_are_gone_through(tmp_path, window, monkeypatch):
    monkeypatch.setattr("mixlm.generation.questions.WINDOW", window)
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"question": f"{n} + {n}?"}) + "\n" for n in range(4)))
    questions = Questions(path, ENGINE)
    for _ in range(2):
        windows = [*questions]
        assert [len(one) for one in windows[:-1]] == [window] * (len(windows) - 1) and 1 <= len(windows[-1]) <= window
        assert [question.row for one in windows for question in one] == [0, 1, 2, 3]
        for question in (question for one in windows for question in one):
            assert question.prompt_ids == single_question(question.text, ENGINE).prompt_ids


def test_questions_need_neither_trace_nor_answer(tmp_path):
    rows = [
        {"question": "1 + 1?"},
        {"query": "2 + 2?", "response": "no mark of any kind"},
        {"question": "3 + 3?", "steps": ["3 + 3 = 6"], "answer": "6"},
        {"question": "4 + 4?", "answer": None},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = read_questions(path, ENGINE)
    assert [(q.row, q.text) for q in questions] == [(0, "1 + 1?"), (1, "2 + 2?"), (2, "3 + 3?"), (3, "4 + 4?")]
    assert questions[1].name == f"{path}:2"
    assert [TOKENIZER.decode(q.prompt_ids) for q in questions] == ["1 + 1?\n", "2 + 2?\n", "3 + 3?\n", "4 + 4?\n"]


def test_chats_end_with_their_last_user_turn():
    before = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    for turns in (before, [*before, {"role": "assistant", "content": "no mark of any kind"}]):
        sample = read_question({"messages": turns}, "here")
        assert (sample.question, sample.messages, sample.steps) == ("1 + 1?", tuple(before), ())


@pytest.mark.parametrize("row", [{"text": "?"}, {"question": 3.5j}, {"messages": "hello"}, {"messages": []}, {}])
def test_a_row_without_a_question_is_named(row):
    with pytest.raises(InputError, match="^file:9: "):
        read_question(row, "file:9")


def test_an_empty_file_holds_no_questions(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no questions"):
        read_questions(path, ENGINE)


@pytest.mark.parametrize("typed", ["<latent_3>", "<eoLatent>", "a <boLatent><latent_0><eoLatent> b", "<|endoftext|>"])
def test_names_of_special_tokens_typed_by_a_user_stay_text(typed):
    question = single_question(typed, ENGINE)
    assert not set(question.prompt_ids) & {*RUN.ids.present(), RUN.ids.eos}
    assert TOKENIZER.decode(question.prompt_ids) == f"{typed}\n"


def test_a_line_of_output_by_hand():
    ids = RUN.ids
    text = TOKENIZER("1 + 1 = 2\n### 2")["input_ids"]
    answer = read_answer([ids.bo_latent, ids.latent(3), ids.eo_latent, *text, ids.eos], TOKENIZER, ids)
    reading = Reading(3, "1 + 1", 0.5, (("1 + 1", 0.75),))
    mode = parse_latent_mode("max:2")
    record = Answered(Question("q:1", 0, "1 + 1?", [1]), 2, answer, (reading,)).record(mode, RUN.template)
    assert record.pop("tokens") == answer.counts.to_dict()
    assert json.loads(json.dumps(record)) == {
        "row": 0,
        "sample": 2,
        "latents": "max:2",
        "question": "1 + 1?",
        "answer": "2",
        "text": "1 + 1 = 2\n### 2",
        "codes": [3],
        "finished": True,
        "readings": [{"code": 3, "text": "1 + 1", "probability": 0.5, "chunks": [["1 + 1", 0.75]]}],
    }
    assert readable_ids(answer.ids, TOKENIZER).startswith("<boLatent><latent_3><eoLatent>1 + 1 = 2\n### 2")
