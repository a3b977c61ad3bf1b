from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing

from mixlm.data.template import Template
from mixlm.encoding.dataset import load_encoded
from mixlm.encoding.manifest import read_manifest, write_manifest
from mixlm.errors import InputError
from mixlm.methods import build_method
from mixlm.model.tokenizers import open_tokenizer, tokenizer_fingerprint
from mixlm.training.options import TrainingOptions
from mixlm.training.rows.inputs import open_data
from tests.tiny_data import write_encoded


OTHER = "<other>"  # a special token of the vocabulary
CHAT = "{% for turn in messages %}[{{ turn.content }}]{% endfor %}"


def other_end(tokenizer) -> None:
    tokenizer.eos_token = OTHER


def other_beginning(tokenizer) -> None:
    tokenizer.bos_token = OTHER
    start = TemplateProcessing(single=f"{OTHER} $A", special_tokens=[(OTHER, tokenizer.convert_tokens_to_ids(OTHER))])
    tokenizer.backend_tokenizer.post_processor = start


def other_chat(tokenizer) -> None:
    tokenizer.chat_template = CHAT.replace("[", "<")


@pytest.mark.parametrize(
    ("change", "name"),
    [(other_end, "end of sequence"), (other_beginning, "beginning of texts"), (other_chat, "chat template")],
)
def test_a_model_that_reads_or_ends_the_same_vocabulary_otherwise_is_refused(
    tmp_path: Path, change, name: str
) -> None:
    """As those of one family do: base and instruct models, say."""
    encoded, model = write_encoded(tmp_path), tmp_path / "model"
    own = open_tokenizer(str(encoded / "tokenizer"))
    own.chat_template = CHAT
    own.add_special_tokens({"additional_special_tokens": [OTHER]})
    own.save_pretrained(encoded / "tokenizer")
    told = {"fingerprint": tokenizer_fingerprint(own), "template": replace(Template(), chat=True).to_dict()}
    write_manifest(encoded, {**read_manifest(encoded), **told})
    own.save_pretrained(model)
    method, options = build_method("assorted", {}), TrainingOptions("assorted")
    assert len(open_data(str(encoded), str(model), method, options).train) == 40
    other = open_tokenizer(str(model))
    change(other)
    other.save_pretrained(model)
    assert load_encoded(encoded).told_otherwise(open_tokenizer(str(model))) == name
    with pytest.raises(InputError, match=f"encoded with another {name} than {model} has; encode again with --model"):
        open_data(str(encoded), str(model), method, options)
