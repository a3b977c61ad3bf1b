"""Encoded chats: the date of their prompts, on whatever day the encoding goes on."""

import pytest

from mixlm.data.template import Template
from mixlm.encoding.dataset import load_encoded
from tests.chat_templates import DATED, chat_tokenizer, set_clock
from tests.encoding_work import Work, cut
from tests.interruption import Interrupted


CHAT = Template(chat=True)


@pytest.fixture
def chats(tmp_path):
    """Work whose tokenizer has a chat template that reads the clock."""
    work = Work(tmp_path)
    work.model = tmp_path / "base"
    chat_tokenizer(DATED).save_pretrained(work.model)
    return work


@pytest.mark.parametrize("part", ["reading", "encoding train"])
def test_rows_that_are_encoded_on_two_days_have_the_date_of_the_first(chats, monkeypatch, part):
    set_clock(monkeypatch, "2024-07-06T23:59:59")
    with pytest.raises(Interrupted):
        chats.encode(template=CHAT, advance_of=cut(part, 1))
    set_clock(monkeypatch, "2024-07-07T00:00:01")
    said = []
    data = load_encoded(chats.encode(template=CHAT, say=said.append))
    assert any("in all prompts it is 2024-07-06T23:59:59" in line for line in said)
    assert data.template == Template(chat=True, date="2024-07-06T23:59:59")
    tokenizer = chat_tokenizer(DATED)
    prompts = [tokenizer.decode(row["prompt_ids"]) for rows in (data.train, data.valid) for row in rows]
    assert len(prompts) == 40 and all("Today Date: 06 Jul 2024\n" in prompt for prompt in prompts)
    chats.encode(template=CHAT, say=said.append)
    assert said[-1].endswith("already encoded; nothing to do")
