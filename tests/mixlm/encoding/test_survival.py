import json

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mixlm.data.samples import Sample
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding.survival import LOOKED_AT, bare_samples, check_survival
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer
from tests.chat_templates import CHATML, chat_tokenizer


SAMPLES = [
    Sample("Bob has 2 apples, Eve 3. How many?", ("2 + 3 = 5 apples.", "So it is 5."), "5"),
    Sample("Is 1.5 > 1?", ("1.5 - 1 = 0.5",), "yes"),
]
TEXTS = ["".join(Template().render(sample)) for sample in SAMPLES] + ["\nthe answer is 5", "# 5"]
PIECES = {"unk_token": "[UNK]", "special_tokens": ["[UNK]", "[END]"], "show_progress": False}


def trained(model, trainer, decoder=None, normalizer=None, pre_tokenizer=None):
    """A tokenizer that knows ``TEXTS``."""
    raw = Tokenizer(model)
    for name, part in (("decoder", decoder), ("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer)):
        if part is not None:
            setattr(raw, name, part)
    raw.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", eos_token="[END]")


def byte_level():
    return build_tokenizer(TEXTS, vocab_size=300)


def characters():
    trainer = trainers.BpeTrainer(special_tokens=["[UNK]", "[END]"], vocab_size=80, show_progress=False)
    return trained(
        models.BPE(unk_token="[UNK]"), trainer, decoders.Fuse(), pre_tokenizer=pre_tokenizers.Split("", "isolated")
    )


def sentence_piece():
    """As Llama 2's: a space before every text, spaces as a character of their own."""
    trainer = trainers.BpeTrainer(special_tokens=["[UNK]", "[END]"], vocab_size=120, show_progress=False)
    spaces = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return trained(models.BPE(unk_token="[UNK]"), trainer, decoder, spaces)


def composing():
    """Brings accents into one form, as Qwen 2's does."""
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def unigram():
    """As T5's: new lines become spaces."""
    trainer = trainers.UnigramTrainer(vocab_size=90, **PIECES)
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    return trained(models.Unigram(), trainer, decoders.Metaspace(), spaces, pre_tokenizers.Metaspace())


def small_letters():
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def words(known: str, **special):
    """Knows these words alone; the others become its unknown token."""
    names = ["[UNK]", "[END]", *dict.fromkeys(known.split())]
    raw = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=raw, **({"unk_token": "[UNK]", "eos_token": "[END]"} | special))


def bert():
    """Parts words at every sign, and makes letters small."""
    trainer = trainers.WordPieceTrainer(
        vocab_size=90, special_tokens=["[UNK]", "[END]"], continuing_subword_prefix="##", show_progress=False
    )
    return trained(
        models.WordPiece(unk_token="[UNK]"),
        trainer,
        decoders.WordPiece(),
        normalizers.Lowercase(),
        pre_tokenizers.BertPreTokenizer(),
    )


def said(tokenizer, samples=SAMPLES, template=None) -> list[str]:
    lines: list[str] = []
    check_survival(tokenizer, template or Template(), samples, lines.append)
    return lines


@pytest.mark.parametrize("kind", [byte_level, characters, sentence_piece, composing], ids=lambda kind: kind.__name__)
def test_what_comes_back_is_not_spoken_of(kind):
    assert said(kind()) == []
    spaced = Sample("  two  spaces\tand é, composed and not: e\u0301 ", (" 2 + 3 ",), " 5 ")
    if kind in (byte_level, composing):
        assert said(kind(), [spaced]) == []


def test_lost_white_space_is_shown_where_it_is_lost():
    [line] = said(unigram())
    assert "1 of the first 2 rows" in line and "which loses white space" in line
    assert "'2 + 3 = 5 apples.\\nSo it is 5.' comes back as '2 + 3 = 5 apples. So it is 5.'" in line


def test_lost_capitals_are_told():
    [line] = said(small_letters())
    assert "2 of the first 2 rows" in line and "loses capital letters: 'Bob has 2" in line and "as 'bob has 2" in line


def test_unknown_words_are_told_before_lesser_losses():
    [line] = said(words("Bob has 2 apples, Eve 3. How many? Is 1.5 > 1? + 3 = 5 So it is 5. - 1 0.5 ### yes"))
    assert "2 of the first 2 rows" not in line and "1 of the first 2 rows" in line
    assert "loses characters: '2 + 3 = 5 apples.\\nSo it is 5.' comes back as '2 + 3 = 5 So it is 5.'" in line


def test_only_the_first_rows_are_looked_at():
    samples = [SAMPLES[1]] * LOOKED_AT + [SAMPLES[0]]
    known = words("Is 1.5 > 1? - 1 = 0.5 ### yes")
    assert said(known, samples) == []
    assert len(said(known, samples[1:])) == 1


def test_a_marker_that_is_lost_is_an_error_that_names_one_that_is_not():
    with pytest.raises(InputError, match=r"'\\n### 5' comes back as '# # # 5', and no answer could ever be found"):
        said(bert())
    with pytest.raises(InputError, match=r"give --solution-template '\\nthe answer is {answer}', which comes back"):
        said(bert())
    assert "capital letters" in said(bert(), template=Template(solution="\nthe answer is {answer}"))[0]
    with pytest.raises(InputError, match="train it again with another model, whose tokenizer keeps them"):
        check_survival(words("2 5"), Template(), SAMPLES, remedy="train it again with")


def test_a_marker_that_is_lost_once_is_no_error():
    """The answer is what is unknown in one of them."""
    line = said(words("### yes"))
    assert len(line) == 1 and "2 of the first 2 rows" in line[0]


def test_an_end_within_a_trace_hides_the_answer():
    """Its unknown token is its end of sequence: whatever it does not know ends an answer."""
    tokenizer = words("Is 1.5 > 1? - 1 = 0.5 ### yes", eos_token="[UNK]")
    assert said(tokenizer, SAMPLES[1:]) == []
    with pytest.raises(InputError, match="no answer could ever be found"):
        said(tokenizer, SAMPLES[:1])


def test_rows_without_answers_lose_none():
    assert len(said(words("### yes"), [Sample("a?", ("b",), "")])) == 1


def test_a_tokenizer_that_knows_no_unknown_is_refused():
    with pytest.raises(InputError, match=r"cannot read a text: WordLevel error: Missing \[UNK\].*set its unk_token"):
        raw = Tokenizer(models.WordLevel({"a": 0, "[END]": 1}))
        said(PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="[END]"))


def test_tokenized_rows_tell_questions_and_answers():
    rows = tokenize_samples(byte_level(), Template(), SAMPLES)
    assert [*bare_samples(rows)] == [Sample(sample.question, (), sample.answer) for sample in SAMPLES]


def test_a_class_that_reads_otherwise_than_its_file_is_told(tmp_path):
    """Qwen 2's parts numbers into digits, whatever the file that it is opened from says."""
    byte_level().save_pretrained(tmp_path)
    assert said(AutoTokenizer.from_pretrained(tmp_path), [Sample("5", ("1.5",), "0.5")]) == []
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    same = [Sample("apples", (), "5")]
    assert said(tokenizer, same, Template(solution="{answer}")) == []  # ids are compared, not how they are made
    [line] = said(tokenizer)
    assert f"{tmp_path / 'tokenizer.json'} as a Qwen2Tokenizer, whose ids of" in line


def test_answers_that_hold_the_marker_are_told_with_what_is_read_of_them():
    said: list[str] = []
    answer = "### Cause\nRust.\n\n### Cure\nSand it."
    check_survival(byte_level(), Template(), [*SAMPLES, Sample("Why?", ("a",), answer)], said.append)
    assert [line for line in said if "hold" in line] == [
        "warning: 1 of the first 3 answers hold '###' themselves and are read from there on ('Cure Sand it.' of "
        "'### Cause Rust. ### Cure Sand it.'); give another --solution-template"
    ]
    said.clear()
    template = Template(solution="\nAnswer: {answer}")
    check_survival(byte_level(), template, [Sample("Why?", ("a",), answer)], said.append)
    assert not any("hold" in line for line in said)


@pytest.mark.parametrize(
    ("opening", "special", "solution", "told"),
    [
        (None, False, "{answer}", True),
        (None, False, " = {answer}", False),
        ("", False, "{answer}", True),
        ("<think>", False, "{answer}", False),
        ("<|START_THINKING|>", False, "{answer}", False),
        ("<think>", True, "{answer}", True),  # answers are decoded without special tokens
        ("<think>", True, " = {answer}", False),
    ],
)
def test_answers_that_are_read_with_their_traces_are_told(opening, special, solution, told):
    """As where a template has no marker, and no closed thought in a chat parts the two."""
    template = Template(solution=solution, chat=opening is not None)
    tokenizer = chat_tokenizer(CHATML + (opening or ""), special)
    lines = [line for line in said(tokenizer, template=template) if "with the trace before it" in line]
    assert len(lines) == told
    if told:
        assert "So it is 5." in lines[0] and lines[0].endswith(r"such as '\n### {answer}'")
    without = [Sample(sample.question, (), sample.answer) for sample in SAMPLES]
    assert not any("with the trace" in line for line in said(tokenizer, without, template))
