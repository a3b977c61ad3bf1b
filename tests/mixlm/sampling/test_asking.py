from datetime import date

import pytest

from mixlm.errors import InputError
from mixlm.generation.options import GenerationOptions
from mixlm.generation.server.seeds import seed_of
from mixlm.sampling.asking import Asking
from mixlm.sampling.problems import Problem, read_problem


LAST = 'Reason step by step. End with a line that has "#### " and then nothing but the answer.'
SAID = 'Reason step by step. End with a line that says "The answer is: " and then nothing but the answer.'
BOXED = "Reason step by step. Put the final answer into \\boxed{}."
SYSTEM, USER, REPLY = ({"role": role, "content": role} for role in ("system", "user", "assistant"))
SAMPLING = GenerationOptions(temperature=0.8, samples=2, seed=3, max_new_tokens=9)


def asked(row, check="exact", **settings):
    return Asking(check, **settings).question(Problem(0, read_problem({"answer": "4", **row})))


@pytest.mark.parametrize(("check", "words"), [("exact", LAST), ("number", SAID), ("math", BOXED), ("maze", LAST)])
def test_a_lone_question_is_asked_for_steps_and_an_answer_that_is_marked(check, words):
    for row in ({"question": "user"}, {"messages": [USER]}):
        assert asked(row, check) == {"messages": [{"role": "user", "content": f"user\n\n{words}"}]}
    text = f"Question: user\n\n{words}\n\nSolution:"
    assert asked({"question": "user"}, check, completions=True) == {"prompt": text}


def test_a_chat_goes_as_it_is_unless_a_prompt_is_given():
    tools = [{"type": "function", "function": {"name": "add"}}]
    for turns in ([SYSTEM, USER], [USER, REPLY, USER]):
        assert asked({"messages": turns}) == {"messages": turns}
        prompted = [*turns[:-1], {"role": "user", "content": "Now user!"}]
        assert asked({"messages": turns}, prompt="Now {question}!") == {"messages": prompted}
    assert asked({"system": "system", "question": "user"}) == {"messages": [SYSTEM, USER]}
    told = {"chat_template_kwargs": {"instructions": "In French."}}
    assert asked({"messages": [USER], **told}) == {"messages": [USER], **told}
    with pytest.raises(InputError, match="that tells its template more, is no text to go on with"):
        asked({"messages": [USER], **told}, completions=True)
    assert asked({"messages": [USER], "tools": tools}) == {"messages": [USER], "tools": tools}


def test_a_prompt_takes_the_place_of_ours_braces_and_all():
    prompt = "{question} {} \\boxed{} %s"
    assert asked({"question": "{x}"}, prompt=prompt)["messages"][0]["content"] == "{x} {} \\boxed{} %s"
    assert asked({"question": "{x}"}, prompt=prompt, completions=True) == {"prompt": "{x} {} \\boxed{} %s"}


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InputError, match="--prompt 'Why.': must hold {question} exactly once"):
        Asking("exact", prompt="Why?")
    with pytest.raises(InputError, match="--stop ''"):
        Asking("exact", stop="")
    with pytest.raises(InputError, match="a chat of several turns, or that tells its template more, is no text"):
        asked({"messages": [SYSTEM, USER]}, completions=True)
    assert (
        "Question: system\n\nuser\n\n" in asked({"system": "system", "question": "user"}, completions=True)["prompt"]
    )


def test_a_body_has_the_settings_and_a_seed_of_its_place():
    problem = Problem(7, read_problem({"question": "q", "answer": "4"}))
    body = Asking("exact", prompt="{question}", options=SAMPLING, stop="\n\n").body(problem, 1)
    assert body == {
        "messages": [{"role": "user", "content": "q"}],
        "temperature": 0.8,
        "seed": seed_of(3, 7, 1),
        "stop": ["\n\n"],
    }
    nucleus = GenerationOptions(temperature=1.0, top_p=0.5)
    assert Asking("exact", options=nucleus).body(problem, 0)["top_p"] == 0.5
    greedy = Asking("exact", completions=True, options=GenerationOptions(temperature=0.0)).body(problem, 0)
    assert greedy.keys() == {"prompt", "temperature", "stop"} and greedy["stop"] == ["\nQuestion:"]
    assert "stop" not in Asking("exact", "{question}", True, options=SAMPLING).body(problem, 0)


def test_seeds_are_of_31_bits_and_differ_by_seed_row_and_number():
    places = [(seed, row, number) for seed in (0, 1, 11) for row in range(20) for number in range(20)]
    seeds = {seed_of(*place) for place in places}
    assert len(seeds) == len(places) and 0 <= min(seeds) and max(seeds) < 2**31
    assert (seed_of(0, 0, 0), seed_of(1, 2, 3)) == (622393769, 1044883500)  # so that kept answers stay the same


def test_dates_of_parquet_are_asked_as_texts():
    tools = [{"type": "function", "function": {"name": "today", "since": date(2026, 11, 29)}}]
    assert asked({"messages": [USER], "tools": tools})["tools"][0]["function"]["since"] == "2026-11-29"
