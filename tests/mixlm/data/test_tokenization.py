from itertools import accumulate, islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

from mixlm.data.samples import Sample, read_samples, to_sample
from mixlm.data.template import Template
from mixlm.data.tokenization import (
    own_columns,
    starting_ids,
    tokenize_prompt,
    tokenize_samples,
    tokenize_text,
)
from mixlm.errors import InputError
from mixlm.model.special_tokens import PAUSE, add_project_tokens, latent_span
from mixlm.model.tokenizers import build_tokenizer


CHAT = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}" + CHAT
MARKS = ["<|im_start|>", "<|im_end|>"]
LITERALS = ["<latent_3>", "<eoLatent>", "<boLatent>", "<pause>", "<|endoftext|>", "<|im_end|>", "\ue0000\ue001"]
TEXTS = ["so now 3 + 4 gives 7 .\nso now 7 - 2 gives 5 .", "user\nsystem\nassistant\n### 7"]


def byte_tokenizer():
    """A byte-level tokenizer to which this project's tokens and the marks of a chat were added."""
    tokenizer = build_tokenizer(TEXTS, vocab_size=300)
    add_project_tokens(tokenizer, [*latent_span(5), PAUSE])
    tokenizer.add_tokens(MARKS, special_tokens=True)
    tokenizer.chat_template = CHAT
    return tokenizer


def merging_tokenizer(*merges: tuple[str, str]):
    """A tokenizer of the letters a and b and the new line, with nothing that keeps merges from crossing lines."""
    vocabulary = ["a", "b", "\n", "<eos>", *("".join(merge) for merge in merges)]
    model = models.BPE({token: index for index, token in enumerate(vocabulary)}, list(merges))
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), eos_token="<eos>")


def starting_tokenizer(processed: bool = True):
    """A byte-level tokenizer with a begin of sequence, which it puts before a text if ``processed``."""
    tokenizer = build_tokenizer(TEXTS, vocab_size=300)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    if processed:
        start = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)])
        tokenizer.backend_tokenizer.post_processor = start
    return tokenizer


BYTES = byte_tokenizer()
TEXT = st.lists(st.text(max_size=8) | st.sampled_from(LITERALS), max_size=4).map("".join)


@given(TEXT)
def test_the_name_of_a_special_token_in_a_text_stays_text(text):
    special = set(BYTES.all_special_ids) | set(BYTES.convert_tokens_to_ids([*latent_span(5), PAUSE, *MARKS]))
    ids = tokenize_text(BYTES, text)
    assert not special & set(ids)
    assert BYTES.decode(ids) == text


def test_a_literal_latent_has_the_ids_that_it_had_before_the_tokens_were_added():
    base = build_tokenizer(TEXTS, vocab_size=300)
    for text in ("<latent_3>", "a <eoLatent> b", "<boLatent><latent_0>"):
        assert tokenize_text(BYTES, text) == tokenize_text(base, text) != BYTES(text)["input_ids"]


@given(TEXT, st.lists(TEXT, max_size=4), TEXT)
def test_the_three_parts_decode_to_the_rendered_text_and_steps_cover_the_trace(question, steps, answer):
    sample, template = Sample(question, tuple(steps), answer), Template()
    (row,) = tokenize_samples(BYTES, template, [sample])
    ids = row["prompt_ids"] + row["trace_ids"] + row["solution_ids"]
    assert BYTES.decode(ids[:-1]) == "".join(template.render(sample))
    assert ids[-1] == BYTES.eos_token_id and BYTES.eos_token_id not in ids[:-1]
    assert sum(row["step_lengths"]) == len(row["trace_ids"]) and len(row["step_lengths"]) == len(steps)


def test_parts_are_tokenized_apart_even_where_a_token_could_join_them():
    tokenizer = merging_tokenizer(("\n", "a"), ("b", "\n"), ("b\n", "a"))
    (row,) = tokenize_samples(tokenizer, Template(solution="\n{answer}"), [Sample("b", ("a", "b"), "a")])
    texts = {part: tokenizer.convert_ids_to_tokens(row[f"{part}_ids"]) for part in ("prompt", "trace", "solution")}
    assert texts == {"prompt": ["b\n"], "trace": ["a", "\n", "b"], "solution": ["\na", "<eos>"]}


@pytest.mark.parametrize(
    ("merges", "steps", "tokens", "lengths"),
    [
        ([], ("aa", "b"), ["a", "a", "\n", "b"], [3, 1]),
        ([("a", "\n"), ("a\n", "b")], ("aa", "bb"), ["a", "a\nb", "b"], [2, 1]),
        ([("\n", "b")], ("a", "bb", "a"), ["a", "\nb", "b", "\n", "a"], [1, 3, 1]),
        ([("a", "\n"), ("a\n", "b"), ("a\nb", "\n"), ("a\nb\n", "a")], ("a", "b", "a"), ["a\nb\na"], [1, 0, 0]),
        ([], ("", "a", ""), ["\n", "a", "\n"], [1, 2, 0]),
        ([], ("", ""), ["\n"], [1, 0]),
        ([], (), [], []),
    ],
)
def test_a_token_belongs_to_the_step_of_its_first_letter_and_a_separator_to_the_step_before(
    merges, steps, tokens, lengths
):
    tokenizer = merging_tokenizer(*merges)
    (row,) = tokenize_samples(tokenizer, Template(), [Sample("a", steps, "b")])
    assert tokenizer.convert_ids_to_tokens(row["trace_ids"]) == tokens
    assert row["step_lengths"] == lengths


def test_begin_of_sequence_stands_once_before_the_prompt_if_the_tokenizer_puts_it_there():
    tokenizer, sample = starting_tokenizer(), Sample("7", ("3 + 4",), "7")
    (row,) = tokenize_samples(tokenizer, Template(), [sample])
    assert row["prompt_ids"] == tokenizer("7\n")["input_ids"]
    ids = row["prompt_ids"] + row["trace_ids"] + row["solution_ids"]
    assert [place for place, token in enumerate(ids) if token == tokenizer.bos_token_id] == [0]
    assert starting_ids(starting_tokenizer(processed=False)) == starting_ids(BYTES) == []


def test_all_that_a_tokenizer_puts_before_a_text_stands_before_a_prompt_and_nothing_that_it_puts_behind():
    """GLM's puts two tokens there, none of which it calls its begin of sequence."""
    tokenizer = build_tokenizer(TEXTS, vocab_size=300)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<g>", "<sop>", "<end>"]})
    marks = [(mark, tokenizer.convert_tokens_to_ids(mark)) for mark in ("<g>", "<sop>", "<end>")]
    around = processors.TemplateProcessing("<g> <sop> $A <end>", special_tokens=marks)
    tokenizer.backend_tokenizer.post_processor = around
    assert starting_ids(tokenizer) == [token for _, token in marks[:2]]
    assert tokenize_prompt(tokenizer, Template(), "7") == tokenizer("7\n")["input_ids"][:-1]


def test_begin_of_sequence_stands_once_before_a_chat_whose_template_writes_it():
    tokenizer = starting_tokenizer()
    tokenizer.chat_template = "{{ bos_token }}" + CHAT
    ids = tokenize_prompt(tokenizer, Template(chat=True), "7")
    assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == tokenizer.bos_token_id


def chat_of(*contents: str) -> Sample:
    roles = ["system", "user", "assistant", "user"]
    turns = tuple({"role": role, "content": text} for role, text in zip(roles, contents, strict=False))
    return Sample(turns[-1]["content"], (), "1", turns)


def test_a_chat_is_rendered_by_the_tokenizers_template():
    sample = chat_of("Count.", "3 + 4 ?", "7", "7 - 2 ?")
    expected = BYTES.apply_chat_template(list(sample.messages), add_generation_prompt=True)["input_ids"]
    assert tokenize_prompt(BYTES, Template(chat=True), sample) == expected
    question = BYTES.apply_chat_template([{"role": "user", "content": "7"}], add_generation_prompt=True)["input_ids"]
    assert tokenize_prompt(BYTES, Template(chat=True), "7") == question


@given(TEXT, TEXT)
def test_users_cannot_type_the_markup_of_a_chat(first, second):
    ids = tokenize_prompt(BYTES, Template(chat=True), chat_of("", f"{first}<|im_end|>", second))
    start, end = BYTES.convert_tokens_to_ids(MARKS)
    assert (ids.count(start), ids.count(end)) == (4, 3)
    turns = f"<|im_start|>user\n{first}<|im_end|><|im_end|>\n<|im_start|>assistant\n{second}<|im_end|>\n"
    assert BYTES.decode(ids) == f"<|im_start|>system\n<|im_end|>\n{turns}<|im_start|>assistant\n"


def test_a_chat_of_one_turn_without_the_chat_template_is_its_question():
    sample = to_sample({"messages": [{"role": "user", "content": "7"}, {"role": "assistant", "content": "#### 1"}]})
    assert tokenize_prompt(BYTES, Template(), sample) == tokenize_text(BYTES, "7\n")


@pytest.mark.parametrize(
    ("template", "chat", "message"),
    [
        (None, True, "the tokenizer has no chat template; leave out --chat"),
        (CHAT, False, r"the chat '3 \+ 4 \?' has turns before its question.*give --chat"),
        (STRICT, True, r"refuses the chat '3 \+ 4 \?': no system turns; change or leave out the row"),
        ("{{ messages[0].content }}", True, r"chat template leaves out the question '3 \+ 4 \?'; change or leave out"),
        ("{{ messages[0].content", True, "chat template is damaged in line 1: unexpected end of template"),
    ],
)
def test_a_chat_that_cannot_be_rendered_is_one_line(template, chat, message):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(InputError, match=message):
        tokenize_prompt(tokenizer, Template(chat=chat), chat_of("Count.", "3 + 4 ?"))


def test_own_columns_are_kept_as_text():
    row = {"question": "?", "steps": ["a"], "answer": 1, "id": 7, "level": "hard", "tags": ["x", "y"], "none": None}
    row |= {"row": "taken", "codes": [1]}
    assert own_columns(to_sample(row)) == {"id": "7", "level": "hard", "tags": '["x", "y"]'}
    (tokenized,) = tokenize_samples(BYTES, Template(), [to_sample(row)])
    assert (tokenized["row"], tokenized["question"], tokenized["answer"], tokenized["level"]) == (0, "?", "1", "hard")
    assert "codes" not in tokenized


@pytest.mark.parametrize("name", ["gsm8k/train.jsonl", "gsm8k_icot/gsm_train_noaug_equations.json"])
def test_real_rows_decode_to_their_text_and_their_steps(data_folder, name):
    samples = list(islice(read_samples(data_folder / name), 300))
    template = Template()
    tokenizer = build_tokenizer(("".join(template.render(sample)) for sample in samples), vocab_size=600)
    for row, sample in zip(tokenize_samples(tokenizer, template, samples), samples, strict=True):
        ids = row["prompt_ids"] + row["trace_ids"] + row["solution_ids"]
        assert tokenizer.decode(ids[:-1]) == "".join(template.render(sample))
        ends = accumulate(row["step_lengths"], initial=0)
        steps = [tokenizer.decode(row["trace_ids"][start:end]) for start, end in pairwise(ends)]
        assert steps == [f"{step}\n" for step in sample.steps[:-1]] + list(sample.steps[-1:])
