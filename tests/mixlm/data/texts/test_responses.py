import re

import pytest

from mixlm.data.texts.responses import RULES, compile_pattern, count_rules, read_response, tell_rules
from mixlm.data.texts.thoughts import split_thought
from mixlm.errors import InputError


CHANNEL = "<|start|>assistant<|channel|>"
ENDS = (
    *(
        "<|im_end|>",
        "<|eot_id|>",
        "<|endoftext|>",
        "<｜end▁of▁sentence｜>",
        "</s>",
        "<end_of_turn>",
        "<|end|>",
        "<|eot|>",
    ),
    *("<|return|>", "<|end_of_text|>", "<eos>"),
)


@pytest.mark.parametrize(
    ("text", "trace", "tail"),
    [
        ("<think>a</think>b", "a", "b"),
        ("a\n</think>\n\nb", "a", "b"),
        ("<think>\n\n</think>b", "", "b"),
        ("Hm. <think>a</think>b", "Hm. \na", "b"),
        ("<think>a</think>b<think>c</think>d", "a\nb\nc", "d"),
        ("a</think>b</think>c", "a\nb", "c"),
        ("<thinking>a</thinking>b", "a", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>b<|end_of_solution|>", "a", None),
        ("[THINK]a[/THINK]b", "a", "b"),
        ("<Think>a</THINK>b", "a", "b"),
        ("<thought>a</thought>b", "a", "b"),
        ("<mm:think>a</mm:think>b", "a", "b"),
        ("◁think▷a◁/think▷b", "a", "b"),
        ("<start_working_out>a<end_working_out><SOLUTION>b</SOLUTION>", "a", None),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|><|END_OF_TURN_TOKEN|>", "a", None),
        ("<|channel>thought\na<channel|>b<turn|>", "a", "b"),
        (f"{CHANNEL}analysis<|message|>a<|end|>{CHANNEL}final<|message|>b<|return|>", "a", "b"),
        (f"{CHANNEL}analysis<|message|>a{CHANNEL}commentary<|message|>b{CHANNEL}final<|message|>c", "a\nb", "c"),
        ("Here is my thought process: a\nHere is my response: b", "a", "b"),
        ("<think>a</think><reasoning>b</reasoning>c", "a\nb", "c"),
        ("<thinking>a<think>b</think>c</thinking>d", "a<think>b</think>c", "d"),
        ("a<reasoning>b</reasoning>c</think>d", "a<reasoning>b</reasoning>c", "d"),
        ("<think>a</think>Write <thinking>.. </thinking> first.", "a", "Write <thinking>.. </thinking> first."),
        ("<think>a</think>Write <thinking> first.", "a", "Write <thinking> first."),
    ],
)
def test_all_before_the_last_closing_tag_is_the_trace_whether_or_not_it_was_opened(text, trace, tail):
    found, rest = split_thought(text)
    assert re.sub(r"\n+", "\n", found.strip()) == trace
    assert tail is None or rest.strip() == tail
    assert read_response(text).answer == (tail or "b")


@pytest.mark.parametrize(
    "text",
    [
        *("<think>a", "<think>a\n#### 4", "a</think>b<think>c", "[THINK]a", "<Thought>a", "<think>a</think><think>b"),
        *("<think>a<reasoning>b</reasoning>c", f"{CHANNEL}analysis<|message|>a"),
        *("<think>a</think><answer> 4", "<longcat_think>a", "<think_fast>a\n#### 4"),
    ],
)
def test_a_response_that_was_cut_off_is_refused(text):
    with pytest.raises(ValueError, match="never closes it"):
        read_response(text)


@pytest.mark.parametrize(
    ("tail", "answer", "rule"),
    [
        ("4", "4", "whole"),
        *((f"4{end}", "4", "whole") for end in ENDS),
        *((f"The answer is 4.{end}\n{end}\n", "4", "said") for end in ENDS),
        *((f"<{name}>4</{name}>", "4", "whole") for name in ("solution", "Final", "response", "OUTPUT", "conclusion")),
        ("Sure: <solution>We add. The answer is 4.</solution>", "4", "said"),
        ("4</solution>", "4", "whole"),
        ("<response><b>4</b></response>", "<response><b>4</b></response>", "whole"),
        ("It is <|begin_of_box|>4<|end_of_box|>", "It is 4", "whole"),
        ("1. **Add** 2 and 2.\n2. So it is 4.", "1. **Add** 2 and 2.\n2. So it is 4.", "long"),
        ("Paris is the capital.", "Paris is the capital.", "whole"),
        ("We add. That makes 4.", "We add. That makes 4.", "long"),
        (sentence := "altogether she sold 72 clips in the months we know", sentence, "whole"),
        (f"so {sentence}", f"so {sentence}", "long"),
        ("We add.\n\nSo it is **4** apples.", "4", "bold"),
        ("We add **2** and **2**.\nThe answer is 4.", "4", "said"),
        ("**Final Answer:** \\boxed{4}", "4", "boxed"),
        ("We add.\n#### 4", "4", "hashes"),
        ("We add. <answer>4</answer>", "4", "answer"),
        ("The answer is: 4. I hope it is correct.", "4", "said"),
    ],
)
def test_of_a_text_that_explains_before_it_answers_the_marked_part_is_the_answer(tail, answer, rule):
    assert read_response(f"<think>a</think>{tail}")[1:] == (answer, rule)


@pytest.mark.parametrize("text", ["<think>a</think>", "a</think> \n", "a</think><|im_end|>"])
def test_a_response_without_an_answer_is_refused(text):
    with pytest.raises(ValueError, match="no answer after its reasoning"):
        read_response(text)


@pytest.mark.parametrize("tail", ["It is x**2 + y**2 = 25", "print(2**3, f(**a, **b), (1)**2)**3"])
def test_powers_are_no_bold_type(tail):
    assert read_response(f"a</think>{tail}") == ("a", tail, "whole")


def test_tags_of_answers_and_labels_in_a_row_are_marks():
    for name in ("Answer", "final_answer"):
        assert read_response(f"a</think><{name}> 4\n</{name}>") == ("a", "4", "answer")
    found = read_response("a\nFinal Answer: The final answer is $4$. I hope it is correct.")
    assert (found.trace.strip(), found.answer) == ("a", "$4$")


def test_an_answer_before_its_reasoning_is_refused():
    with pytest.raises(ValueError, match=r"gives its answer \('4'\) before its reasoning"):
        read_response("\\boxed{4}\n\nFirst one takes two, then one adds two more.")
    assert read_response(r"\boxed{4} \text{ cm}") == ("", "4", "boxed")


def test_a_pattern_goes_before_all_marks_and_its_last_match_counts():
    pattern = compile_pattern(r"^Result = (\S+)|<<(\S+)>>$")
    text = "a\nResult = 3\nResult = 4\nThe answer is: 5"
    assert read_response(text, pattern) == ("a\nResult = 3", "4", "pattern")
    assert read_response(f"<think>Result = 9</think>{text}", pattern) == ("\nResult = 9", "4", "pattern")
    assert read_response("a\n<<6>>", pattern)[1] == "6"
    assert read_response(text, compile_pattern("[0-9]"))[1] == "5"
    assert read_response(text, pattern, given="7")[1] == "4"
    for text, words in (("<think>Result = 9</think>4", "nothing that --answer-pattern"), ("Result = ", "nothing")):
        with pytest.raises(ValueError, match=words):
            read_response(text, pattern)
    with pytest.raises(ValueError, match="no text where"):
        read_response("a = ", compile_pattern("=( *)"))
    with pytest.raises(InputError, match=r"^--answer-pattern '\(': no regular expression"):
        compile_pattern("(")
    assert compile_pattern(None) is None


@pytest.mark.parametrize(
    ("text", "trace"),
    [
        (r"So $x = \boxed{4}$.", "So $x ="),
        (r"So \boxed{5} is near.", r"So \boxed{5} is near."),
        ("All of it is reasoning.", "All of it is reasoning."),
        ("a</think>b", "a"),
        (" 4 ", ""),
    ],
)
def test_an_answer_that_is_given_ends_the_trace_only_where_the_text_marks_the_same(text, trace):
    found = read_response(text, given="4")
    assert (found.trace.strip(), found.answer, found.rule) == (trace, "4", "column")


def test_rules_are_told_with_their_counts():
    rules = count_rules(["hashes", "column", "hashes", "long"])
    assert rules == {"hashes": 2, "long": 1}
    told = tell_rules(rules, 4)
    assert told.startswith("1 in a column of their own, 2 after '####', 1 as all of a long text after the trace; ")
    assert "--answer-pattern" in told
    assert tell_rules(count_rules(["column"] * 3), 3) == ""
    assert tell_rules({rule: 1 for rule in RULES if rule not in ("column", "long")}, 7).count("1 ") == 7


def test_an_answer_of_letters_that_no_spaces_part_is_long_by_its_letters():
    assert read_response("a</think>十二")[2] == "whole"
    assert read_response("a</think>因为每个盒子里有四支笔而一共有三个盒子所以一共有十二支笔")[2] == "long"


@pytest.mark.parametrize("given", ["72", "72.0"])
def test_an_answer_that_a_table_made_a_fraction_is_the_one_that_is_marked(given):
    assert read_response("24+48=72\n#### 72", given=given)[:2] == ("24+48=72", "72")
    assert read_response("24+48=72\n#### 73", given=given)[:2] == ("24+48=72\n#### 73", given)
    assert read_response("The answer is: 5.0", given="5")[:2] == ("The answer is: 5.0", "5")


@pytest.mark.parametrize(("said", "given"), [("1,234", "1234"), ("1234", "1,234"), ("1234", "1,234.0")])
def test_an_answer_that_is_given_keeps_its_spelling(said, given):
    for text in (
        f"We add.\nThe answer is: {said}",
        f"We add.\n#### {said}",
        f"<think>We add.</think>\\boxed{{{said}}}",
    ):
        found = read_response(text, given=given)
        assert (found.trace.strip(), found.answer) == ("We add.", given.removesuffix(".0"))


@pytest.mark.parametrize(
    ("text", "answer"), [("a\n#### 4", "4"), ("a. The answer is 4.", "4"), (r"a. \boxed{4}", "4")]
)
@pytest.mark.parametrize("end", ENDS)
def test_marks_of_an_end_and_tags_around_all_are_no_part_of_what_is_marked(text, answer, end):
    assert read_response(f"{text}{end}").answer == answer
    assert read_response(f"<solution>{text}</solution>{end}")[:2] == read_response(text)[:2]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (r"<analysis>Is it \boxed{5}? No.</analysis> 6", "</analysis>"),
        (r"<analysis>Is it \boxed{5}? No.</analysis><verdict>6</verdict>", "</analysis>"),
        (r"Is it \boxed{5}? No.</analysis> 6", "</analysis>"),
        ("<|begin_of_plan|>The answer is 5. No.<|end_of_plan|> 6", "<|end_of_plan|>"),
        ("<|plan_start|>a\nThe answer is: 5\n<|plan_end|> 6", "<|plan_end|>"),
        ('<Plan type="x">We add.</Plan> 6', "</Plan>"),
        ("[PLAN]Is it 5?[/PLAN] 6", "[/PLAN]"),
    ],
)
def test_no_answer_is_read_from_within_a_tag_that_nobody_knows(text, tag):
    with pytest.raises(ValueError, match=f"^has more behind {re.escape(tag)}, .* name the answer by --answer-pattern"):
        read_response(text)
    assert read_response(text, compile_pattern("6")).answer == "6"
    assert read_response(text, given="6").answer == "6"


@pytest.mark.parametrize(
    "text",
    [
        r"<analysis>It is 5? No.</analysis> So \boxed{6}.",
        r"<p>We add, so \boxed{6}.</p> <p>Bye.</p>",
        r"[hide=Solution]We add, $\boxed{6}$.[/hide] That was nice.",
        r"So $\boxed{6}$. [color=#f00]QED[/color] and bye.",
        "<b>Sum</b>\nThe answer is 6.",
        "<step>2</step><step>The answer is: 6</step>",
        r"\boxed{6} as <row><cell>6</cell></row> has it.",
        r"<math>x</math> is \boxed{6} for 2 </math>",
        "The answer is 6.<|im_end|>\nBye.",
    ],
)
def test_markup_and_answers_behind_a_tag_are_read(text):
    assert read_response(text).answer.startswith("6")


def test_any_number_of_thoughts_may_follow_one_another():
    """Each of another kind."""
    many = "".join(f"<a{place}:think>x</a{place}:think>" for place in range(1200))
    assert read_response(f"{many} 4")[1:] == ("4", "whole")
