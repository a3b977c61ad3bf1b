import pytest

from mixlm.data.samples import Sample
from mixlm.data.template import Template
from mixlm.errors import InputError


SAMPLE = Sample("What is {answer}?", ("first", "", "last {question}"), "{question}")


def test_by_default_a_question_ends_in_a_new_line_and_an_answer_follows_three_hashes():
    texts = Template().render(SAMPLE)
    assert texts == ("What is {answer}?\n", "first\n\nlast {question}", "\n### {question}")


def test_every_part_can_be_changed_and_braces_elsewhere_are_text():
    template = Template(prompt="{Q} {question}", separator=" | ", solution="<{answer}> {x}")
    assert template.render(SAMPLE) == ("{Q} What is {answer}?", "first |  | last {question}", "<{question}> {x}")


def test_an_empty_trace_is_an_empty_text():
    assert Template().render(Sample("?", (), "1")) == ("?\n", "", "\n### 1")


@pytest.mark.parametrize("values", [{"prompt": "Q:"}, {"prompt": "{question}{question}"}, {"solution": "A:"}])
def test_a_part_must_hold_its_field_once(values):
    (name,) = values
    with pytest.raises(InputError, match=f"--{name}-template .*exactly once"):
        Template(**values)


def test_a_template_comes_back_from_its_values():
    template = Template(prompt="Q: {question}", separator=" ", solution=" = {answer}", chat=True)
    assert Template.from_dict(template.to_dict()) == template != Template()


@pytest.mark.parametrize(
    "closing", ["</think>", "</THOUGHT>", "[/THINK]", "◁/think▷", "<|END_THINKING|>", "<channel|>"]
)
def test_an_answer_to_a_chat_without_a_marker_begins_after_its_thought(closing):
    assert Template(solution="{answer}", chat=True).find_answer(f"a\n{closing}\n\n4") == "4"
    assert Template(solution="{answer}").find_answer(f"a{closing}4") == f"a{closing}4"
