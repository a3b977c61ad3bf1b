from datetime import datetime

import pytest

from mixlm.data.chat.rendering import at_date, clock_note, dated, reads_clock, render_chat, stop_clock
from mixlm.data.samples import Sample
from mixlm.data.template import Template
from tests.chat_templates import CHATML, DATED, TOOLS, chat_tokenizer


CHAT, THEN = Template(chat=True), "2024-07-06T15:02:03"
ASKED = [{"role": "user", "content": "3 + 4 ?"}]


def rendered(source: str, date: str | None = None) -> str:
    return render_chat(chat_tokenizer(source), ASKED, Sample("3 + 4 ?", (), ""), date=date)


@pytest.mark.parametrize(
    "code", ["%d %b %Y", "%Y-%m-%d", "%-d/%-m/%y", "%A, %B %d, %H:%M:%S", "%I %p", "%j %U %% %%d", "%c", "%x %X", ""]
)
def test_the_clock_stands_still_at_a_date(code):
    assert rendered(f"{{{{ strftime_now('{code}') }}}}", THEN) == datetime.fromisoformat(THEN).strftime(code)


@pytest.mark.parametrize(
    "source",
    [
        "\n\n  {% if true %}\n a{% endif %}  \n\n b\n\n",
        " {{- ' c' }}\n{%- for turn in messages -%} {{ turn.content }} {% endfor %}",
        "{# strftime_now #}\n\n x",
        CHATML,
        TOOLS,
    ],
)
def test_white_space_is_as_it_was(source):
    """Also where the clock is read, and comes to nothing."""
    assert rendered(source, THEN) == rendered(source)
    assert rendered(source + "{{ strftime_now('') }}", THEN) == rendered(source + "{{ strftime_now('') }}")


def test_a_template_may_ask_in_a_macro_of_its_own_and_whether_there_is_a_clock():
    source = "{% macro today() %}{{ strftime_now('%Y').split('2')[1] }}{% endmacro %}"
    source += "{% if strftime_now is defined %}{{ today() }}{{ strftime_now('%Y') | int + 1 }}{% endif %}"
    assert rendered(source, THEN) == "02025"


@pytest.mark.parametrize(
    ("source", "reads"),
    [(DATED, True), (CHATML, False), ("{# strftime_now #}x", False), ({"default": CHATML, "tool_use": DATED}, True)],
)
def test_who_reads_the_clock_is_told_the_time_once(source, reads):
    tokenizer = chat_tokenizer(source)
    assert reads_clock(CHAT, tokenizer) is reads and not reads_clock(Template(), tokenizer)
    template = dated(CHAT, tokenizer)
    assert bool(template.date) is reads and dated(template, tokenizer) == template
    if reads:
        assert abs((datetime.now() - datetime.fromisoformat(template.date)).total_seconds()) < 3600
        assert dated(CHAT, tokenizer, begun=THEN).date == THEN
        assert template.date in clock_note(template)
    assert dated(Template(), tokenizer) == Template() and clock_note(Template()) is None


def test_a_tokenizer_whose_clock_stands_still_gives_its_date_to_every_engine_until_it_is_given_another():
    tokenizer, template = chat_tokenizer(DATED), Template(chat=True, date=THEN)
    stop_clock(template, tokenizer)
    plain = tokenizer.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True)
    assert "Today Date: 06 Jul 2024\n" in plain and plain == rendered(DATED, THEN)
    assert not reads_clock(CHAT, tokenizer)
    later = "2025-01-02T00:00:00"
    assert render_chat(tokenizer, ASKED, Sample("?", (), ""), date=later) == rendered(DATED, later)
    assert at_date(later, at_date(THEN, DATED)) == at_date(later, DATED)


def test_of_several_templates_those_have_a_date_that_read_the_clock():
    tokenizer = chat_tokenizer({"default": CHATML, "tool_use": DATED})
    stop_clock(Template(chat=True, date=THEN), tokenizer)
    assert tokenizer.chat_template == {"default": CHATML, "tool_use": at_date(THEN, DATED)}
