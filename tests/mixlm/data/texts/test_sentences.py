import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlm.data.samples import Sample, to_sample
from mixlm.data.template import Template
from mixlm.data.texts.sentences import split_sentences
from mixlm.data.tokenization import tokenize_samples
from mixlm.model.tokenizers import build_tokenizer


PARTS = ["She has 3.5 kg. ", "Dr. Li takes 1.25!  ", "So 3.5 - 1.25 = 2.25.\t", "Right? ", '"Yes." ', "Done"]
TEXT = "".join(PARTS)
BYTES = build_tokenizer([TEXT, "So 1. Then 2.", "a b"], vocab_size=300)


@pytest.mark.parametrize(
    "sentences",
    [
        PARTS,
        ["One sentence without an end"],
        ["Ends here."],
        ["Ends with space. "],
        ["Pi is 3.14159. ", "So 2 pi is 6.28. ", "2 < 6.28."],
        ["Some fruit, e.g. Apples, i.e. Reds, cf. Pears vs. Figs. ", "That is all, etc. ", "Next."],
        ["Mr. and Mrs. Smith met Prof. Lee at St. Ives. ", "Then J. R. Smith left the U.S. Army. ", "He sang."],
        ["See No. 5, Fig. 3, Eq. 7 and p. 9. ", "Is it even? ", "No. ", "It is odd."],
        ["We meet at 5 p.m. ", "The train leaves at 6 a.m. ", "30 people come."],
        ["1. Add 3 and 4. ", "2. Double it. ", "10. Stop."],
        ["The answer is 5. ", "Now x = 7. ", "Then y = x. ", "So z."],
        ["We have $x = 3.$ ", "$y$ is odd. ", "\\(z\\) is \\frac{1}{2.5}. ", "Thus \\[w = 1. \\] holds. ", "End."],
        ["He adds 1, 2, ... 10 and so on... Then stops. ", "Fine."],
        ["Is it 5?! ", "Wow! ", "(It is.) ", '"Is it?" ', "‘Yes.’ ", "Ça va. ", "Était-ce ça?"],
        ["no capital. follows here, 5! = 120 and a? b. ", "But here."],
        ["48/2 = <<48/2=24>>24 clips in May. ", "She sold 48+24 = <<48+24=72>>72."],
        ["一共有3个盒子。", "每个盒子有4支笔！", "“对吗？”", "所以是12支。"],
        ["そうです。 ", "So it is."],
        ["他说“是的。”"],
        ["「はい。」\n"],
        ["真的吗？！", "是的。。。", "好"],
        [""],
    ],
)
def test_sentences_by_hand(sentences: list[str]) -> None:
    assert split_sentences("".join(sentences)) == sentences


@given(st.text(st.sampled_from("aB1.!? \n\"'$(e.g"), max_size=60))
def test_nothing_is_lost_and_no_sentence_begins_with_white_space(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join(sentences) == text
    assert all(sentence and not sentence[0].isspace() and sentence[-1].isspace() for sentence in sentences[1:-1])


def lengths(sample: Sample) -> tuple[list[int], list[str]]:
    """The step lengths of a sample, and the text of each step."""
    (row,) = tokenize_samples(BYTES, Template(), [sample])
    ids, texts, start = row["trace_ids"], [], 0
    for length in row["step_lengths"]:
        texts.append(BYTES.decode(ids[start : start + length]))
        start += length
    assert start == len(ids)
    return ids, texts


@pytest.mark.parametrize(
    "row",
    [
        {"question": "?", "reasoning": TEXT, "answer": "1"},
        {"question": "?", "answer": f"{TEXT}\n#### 1"},
        {"query": "?", "response": f"{TEXT}\nThe answer is: 1"},
        {"question": "?", "response": f"<think>{TEXT}</think>1"},
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": f"{TEXT}\n#### 1"}]},
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "1", "thinking": TEXT}]},
    ],
)
def test_steps_of_one_line_of_text_are_its_sentences(row: dict) -> None:
    """Neither the steps, which are rendered, nor the ids are others; a word's own space stands with its word."""
    sample, listed = to_sample(row), to_sample({"question": "?", "steps": [TEXT], "answer": "1"})
    assert sample.steps == listed.steps == (TEXT,)
    (ids, sentences), (whole, one) = lengths(sample), lengths(listed)
    assert ids == whole and one == [TEXT]
    assert [sentence.strip() for sentence in sentences] == [part.strip() for part in PARTS]
    assert "".join(sentences) == TEXT


def test_lines_stay_the_steps_of_a_text_that_has_several() -> None:
    assert lengths(to_sample({"question": "?", "reasoning": "So 1. Then 2.\nSo 3. Then 4.", "answer": "1"}))[1] == [
        "So 1. Then 2.\n",
        "So 3. Then 4.",
    ]


def test_white_space_of_its_own_belongs_to_the_sentence_before_it() -> None:
    """A byte a token: each space is one."""
    plain = build_tokenizer(["x"], vocab_size=257)
    (row,) = tokenize_samples(
        plain, Template(), [to_sample({"question": "?", "reasoning": "A b.  So.", "answer": "1"})]
    )
    assert row["step_lengths"] == [6, 3]
