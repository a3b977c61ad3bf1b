"""A model card says what is there, and nothing that a name in it says becomes a part of the card."""

import pytest
import yaml
from tokenizers.processors import TemplateProcessing

from mixlm.data.template import Template
from mixlm.training.model_card import write_card
from tests.tiny_runs import tiny_run, tiny_tokenizer


EVIL = [
    "a`b` <script>alert(1)</script>",
    "``` \n# Title\n<img src=x>",
    "x\n---\nlicense: evil\n---\n",
    "a | b |\n| c | d",
    "[click](http://evil) ![](http://evil/x.png)",
    "\x1b[31m\u202e\u200b{model} {0} {base}",
    "`",
    "</details></summary><h1>x",
    'o/r"\ntags: [evil]',
    "o/r: evil # no",
]


def card_of(folder, tokenizer=None, **values) -> str:
    run = tiny_run(path=folder)
    folder.mkdir(exist_ok=True)
    for name, value in values.items():
        setattr(run, name, value)
    write_card(run, tokenizer or tiny_tokenizer(), [])
    return (folder / "README.md").read_text(encoding="utf-8")


def outside_of_code(card: str) -> str:
    """Return what a reader of Markdown takes for text or markup: lines without blocks and spans of code."""
    kept, fence = [], None
    for line in card.split("---\n", 2)[2].split("\n"):
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if fence is None and len(ticks) >= 3 and ticks == line:
            fence = line
        elif line == fence:
            fence = None
        elif fence is None:
            kept.append(without_spans(line))
    assert fence is None
    return "\n".join(kept)


def without_spans(line: str) -> str:
    """Return a line without its spans of code, which end at as many ticks as they begin with."""
    text = ""
    while "`" in line:
        before, _, rest = line.partition("`")
        ticks = 1 + len(rest) - len(rest.lstrip("`"))
        rest, text = rest[ticks - 1 :], text + before
        while True:
            inside, found, rest = rest.partition("`" * ticks)
            assert found, "a span of code has no end"
            if not rest.startswith("`") and not inside.endswith("`"):
                break
            rest = rest.lstrip("`")
        line = rest
    return text + line


@pytest.mark.parametrize("evil", EVIL)
def test_what_a_name_says_is_code_in_the_card(tmp_path, evil):
    plain = outside_of_code(card_of(tmp_path / "run"))
    arguments = {"model": evil.replace("/", ""), "data": evil.replace("/", ""), "check": evil, evil: evil}
    template = Template(prompt=f"{evil}{{question}}", solution=f"\n{evil.split()[0]}{{answer}}")
    card = card_of(tmp_path / "run", arguments=arguments, template=template)
    assert outside_of_code(card).count("<") == plain.count("<") and "evil" not in outside_of_code(card)
    assert not {"\x1b", "\u202e", "\u200b"} & {*card}
    assert yaml.safe_load(card.split("---\n")[1]) == yaml.safe_load(card_of(tmp_path / "run").split("---\n")[1])


@pytest.mark.parametrize("evil", EVIL)
def test_a_model_of_the_hub_is_one_value_of_the_head(tmp_path, evil):
    name = f"o/{evil.replace('/', '')}"
    head = yaml.safe_load(card_of(tmp_path / "run", arguments={"model": name}).split("---\n")[1])
    assert head["base_model"] == name and "license" not in head and "evil" not in head["tags"]


def test_the_name_of_a_folder_is_text_in_the_title(tmp_path):
    card = card_of(tmp_path / "<b>x [a](b) `c`\n# d")
    assert "\n# \\<b\\>x \\[a\\]\\(b\\) \\`c\\` \\# d\n" in card


def test_a_card_promises_to_read_latents_back_where_stage_1_is_there_alone(tmp_path):
    without = card_of(tmp_path / "control")
    (tmp_path / "assorted" / "vqvae").mkdir(parents=True)
    both = card_of(tmp_path / "assorted")
    assert "Latents and delimiters are special tokens" in without and "Latents and delimiters are" in both
    assert "--explain" in both and "--explain" not in without


def test_a_card_shows_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abc")
    card = card_of(tmp_path / "run", arguments={"data": "0123456789abc", "valid": "http://me:word@host/x"})
    assert "0123456789" not in card and "word@" not in card


def test_the_card_tells_how_prompts_of_training_began(tmp_path):
    """Those of most models begin with a begin of sequence, which whoever left it out would not give."""
    tokenizer = tiny_tokenizer()
    assert "without added special tokens" in card_of(tmp_path / "none", tokenizer)
    pieces = {"single": "<eos> $A", "pair": "<eos> $A $B", "special_tokens": [("<eos>", 0)]}
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(**pieces)
    assert "with the special tokens that its tokenizer puts before a text" in card_of(tmp_path / "one", tokenizer)
    chat = card_of(tmp_path / "chat", tokenizer, template=Template(chat=True))
    assert "without added special tokens" in chat
