"""Chat templates that do, each in its own words, what those of well-known models do with messages."""

from collections.abc import Sequence
from datetime import datetime

from mixlm.data.chat import rendering
from mixlm.model.tokenizers import build_tokenizer


CHATML = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The plain one: all of every message."""

TOOLS = """
{%- if tools -%}
<|im_start|>system
{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{% else %}You help.{% endif %}

Functions, one a line, within <tools></tools>:
<tools>{% for tool in tools %}

{{ tool | tojson }}{% endfor %}

</tools><|im_end|>
{% endif -%}
{%- for turn in messages -%}
{%- if turn.role == 'user' or (turn.role == 'system' and not (loop.first and tools)) -%}
{{ '<|im_start|>' + turn.role + '\\n' + turn.content + '<|im_end|>\\n' }}
{%- elif turn.role == 'assistant' -%}
{{ '<|im_start|>assistant' }}
{%- if turn.content %}{{ '\\n' + turn.content }}{% endif -%}
{%- for call in turn.tool_calls -%}
{%- if call.function is defined %}{% set call = call.function %}{% endif -%}
{{ '\\n<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
{{- call.arguments | tojson + '}\\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- elif turn.role == 'tool' -%}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif -%}
{{ '\\n<tool_response>\\n' + turn.content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\\n' }}{% endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""
"""Tools in the system message, calls as JSON, results within a user's turn (as Qwen 2.5)."""

REASONING = """
{%- set found = namespace(last=messages | length - 1, looking=true) -%}
{%- for turn in messages[::-1] -%}
{%- set place = messages | length - 1 - loop.index0 -%}
{%- if found.looking and turn.role == 'user' and not turn.content.startswith('<tool_response>') -%}
{%- set found.looking = false %}{% set found.last = place -%}
{%- endif -%}
{%- endfor -%}
{%- for turn in messages -%}
{%- if turn.content is string %}{% set text = turn.content %}{% else %}{% set text = '' %}{% endif -%}
{%- if turn.role == 'user' or turn.role == 'system' -%}
{{ '<|im_start|>' ~ turn.role ~ '\\n' ~ text ~ '<|im_end|>' ~ '\\n' }}
{%- elif turn.role == 'assistant' -%}
{%- set thought = '' -%}
{%- if turn.reasoning_content is string -%}
{%- set thought = turn.reasoning_content -%}
{%- elif '</think>' in text -%}
{%- set thought = text.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
{%- set text = text.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{%- if loop.index0 > found.last and (loop.last or thought) -%}
{{ '<|im_start|>' + turn.role + '\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + text.lstrip('\\n') }}
{%- else -%}
{{ '<|im_start|>' + turn.role + '\\n' + text }}
{%- endif -%}
{%- for call in turn.tool_calls or [] -%}
{{ '\\n<tool_call>\\n{"name": "' ~ call.function.name ~ '", "arguments": ' }}
{%- if call.function.arguments is string %}{{ call.function.arguments }}
{%- else %}{{ call.function.arguments | tojson }}{% endif -%}
{{ '}\\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- elif turn.role == 'tool' -%}
{{ '<|im_start|>user\\n<tool_response>\\n' ~ text ~ '\\n</tool_response><|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""
"""Takes the thoughts of earlier turns out, and writes those of the turns after the last question anew (as Qwen 3)."""

THINKING = """
{%- set ns = namespace(system='') -%}
{%- for turn in messages %}{% if turn.role == 'system' %}{% set ns.system = turn.content %}{% endif %}{% endfor -%}
{{ bos_token }}{{ ns.system }}
{%- for turn in messages -%}
{%- if turn.role == 'user' -%}
{{ '<|User|>' + turn.content }}
{%- elif turn.role == 'assistant' and turn.tool_calls -%}
{%- for call in turn.tool_calls -%}
{{ '<|Assistant|><|call|>' + call.type + '<|sep|>' + call.function.name + '\\n```json\\n' }}
{{- call.function.arguments | tojson + '\\n```<|end|>' }}
{%- endfor -%}
{%- elif turn.role == 'assistant' -%}
{%- set text = turn.content -%}
{%- if '</think>' in text %}{% set text = text.split('</think>')[-1] %}{% endif -%}
{{ '<|Assistant|>' + text + eos_token }}
{%- elif turn.role == 'tool' -%}
{{ '<|result|>' + turn.content + '<|end|>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif -%}
"""
"""Takes the thoughts of earlier turns out and opens one for the answer (as DeepSeek-R1)."""

DATED = """
{{- bos_token }}
{%- if not date_string is defined -%}
{%- if strftime_now is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif -%}
{%- endif -%}
{%- if messages[0].role == 'system' -%}
{%- set system = messages[0].content | trim %}{% set messages = messages[1:] -%}
{%- else %}{% set system = '' %}{% endif -%}
{{ '<|header|>system<|over|>\\n\\nToday Date: ' + date_string + '\\n\\n' + system + '<|eot|>' }}
{%- for turn in messages -%}
{%- if turn.tool_calls -%}
{%- if turn.tool_calls | length != 1 %}{{ raise_exception('one call at a time') }}{% endif -%}
{%- set call = turn.tool_calls[0].function -%}
{{ '<|header|>assistant<|over|>\\n\\n{"name": "' + call.name + '", "parameters": ' }}
{{- call.arguments | tojson }}{{ '}<|eot|>' }}
{%- elif turn.role == 'tool' -%}
{{ '<|header|>ipython<|over|>\\n\\n' }}
{%- if turn.content is mapping or turn.content is iterable and turn.content is not string %}{{ turn.content | tojson }}
{%- else %}{{ turn.content }}{% endif %}{{ '<|eot|>' -}}
{%- else -%}
{{ '<|header|>' + turn.role + '<|over|>\\n\\n' + turn.content | trim + '<|eot|>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|header|>assistant<|over|>\\n\\n' }}{% endif -%}
"""
"""Trims contents, and tells today's date (as Llama 3.1)."""

ALTERNATING = """
{{- bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif -%}
{%- for turn in messages -%}
{%- if (turn.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif -%}
{%- set role = 'model' if turn.role == 'assistant' else turn.role -%}
{{ '<turn>' + role + '\\n' + turn.content | trim + '</turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<turn>model\\n' }}{% endif -%}
"""
"""Refuses what does not alternate, has another name for the assistant, and trims (as Gemma)."""

INSTRUCTIONS = """
{%- if messages[0].role == 'system' -%}
{%- set system = messages[0].content %}{% set messages = messages[1:] -%}
{%- endif -%}
{{- bos_token -}}
{%- for turn in messages -%}
{%- if turn.role == 'user' -%}
{%- if tools and loop.last %}{{ '[TOOLS] ' + tools | tojson + '[/TOOLS]' }}{% endif -%}
{%- if loop.last and system is defined -%}
{{ '[INST] ' + system + '\\n\\n' + turn.content + '[/INST]' }}
{%- else %}{{ '[INST] ' + turn.content + '[/INST]' }}{% endif -%}
{%- elif turn.tool_calls -%}
{%- for call in turn.tool_calls -%}
{%- if call.id | length != 9 %}{{ raise_exception('ids of calls have nine letters') }}{% endif -%}
{{ '[CALLS] [' + call.function | tojson | replace('}', ', "id": "' + call.id + '"}') + ']' + eos_token }}
{%- endfor -%}
{%- elif turn.role == 'tool' -%}
{{ '[RESULT] {"content": ' + turn.content | string + ', "call_id": "' + turn.tool_call_id + '"}[/RESULT]' }}
{%- else %}{{ ' ' + turn.content | trim + eos_token }}{% endif -%}
{%- endfor -%}
"""
"""No word for the generation prompt, the system message before the last question, checks of ids (as Mistral)."""

JOINED = """
{%- for turn in messages -%}
{{ '<|' + turn['role'] + '|>' + turn['content'] + '<|end|>' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif -%}
"""
"""Makes control tokens of roles (as Phi 4)."""

CONTROLS = [
    *("<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|User|>", "<|Assistant|>", "<|call|>", "<|sep|>", "<|end|>"),
    *("<|result|>", "<|header|>", "<|over|>", "<|eot|>", "<turn>", "</turn>", "[INST]", "[/INST]", "[TOOLS]"),
    *("[/TOOLS]", "[CALLS]", "[RESULT]", "[/RESULT]", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"),
]
"""What these templates mark turns with."""

MARKERS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
"""What they write within turns, and look for in contents; special tokens in some vocabularies, in others not."""

TEMPLATES = {
    "plain": CHATML,
    "tools": TOOLS,
    "reasoning": REASONING,
    "thinking": THINKING,
    "dated": DATED,
    "alternating": ALTERNATING,
    "instructions": INSTRUCTIONS,
    "joined": JOINED,
}


def chat_tokenizer(template: str = CHATML, special_markers: bool = False, without: Sequence[str] = ()):
    """A byte-level tokenizer with a chat template and all that the templates here write, but for some of it."""
    texts = ["so now 3 + 4 gives 7 .\nuser\nsystem\nassistant\n\n<|im_end|> <think>"]
    tokenizer = build_tokenizer(texts, vocab_size=300)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    tokenizer.add_tokens([token for token in CONTROLS if token not in without], special_tokens=True)
    tokenizer.add_tokens(MARKERS, special_tokens=special_markers)
    tokenizer.chat_template = template
    return tokenizer


def set_clock(monkeypatch, time: str) -> None:
    """Make it ``time``, as ISO 8601, for whatever is rendered."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromisoformat(time)

    monkeypatch.setattr(rendering, "datetime", Clock)
