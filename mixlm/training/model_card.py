"""The model card that a run writes about itself."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.data.tokenization import starting_ids
from mixlm.run import Run, package_versions
from mixlm.shown import escaped, redacted


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_CARD = """---
library_name: transformers
pipeline_tag: text-generation
{base}tags:
- mixlm
- latent-reasoning
- {method}
---

# {title}

A causal language model fine-tuned with mixlm by the method `{method}` ({source}).

| | |
|---|---|
| base model | {model} |
| training data | {data} |
{latents}| seed | {seed} |
| versions | {versions} |

## Use

{use} Give it prompts of this form, tokenised {added}
(`mixlm-generate RUN --print-prompt` shows the exact ids, with what the method adds):

{prompt}

The solution follows the text {solution}.{reading}

## Training

{figures}

<details><summary>Arguments</summary>

{arguments}

</details>
"""

_WITHOUT, _WITH = "without added special tokens", "with the special tokens that its tokenizer puts before a text"
_PLAIN = "It is a plain checkpoint of transformers: any engine that serves the architecture serves it."
_THOUGHTS = """It reasons in continuous thoughts: hidden states in place of input embeddings, which engines do not feed
back. Answer with `mixlm-generate`, which computes them; with `--engine vllm` the text after them is vLLM's. Used as a
plain language model the checkpoint reads placeholders, and its answers mean nothing."""
_READING = """ Latents and delimiters are special tokens: decoding with `skip_special_tokens=True` leaves plain
text."""
_EXPLAINED = """ `mixlm-generate RUN "question" --explain` shows what each latent stands for."""


def write_card(run: Run, tokenizer: "PreTrainedTokenizerBase", history: list[dict[str, Any]]) -> None:
    """Write ``README.md`` into the run folder.

    Args:
        run: The run.
        tokenizer: Its tokenizer.
        history: The trainer's log lines; the last of training and of evaluation are shown.
    """
    model = str(run.arguments.get("model", ""))
    on_hub = not Path(model).exists() and model.count("/") == 1
    text = f"{run.compression_rate} trace tokens"
    text = f"a step, or {text} of a longer one" if run.align == "step" else text
    latents = f"| codebook | {run.codebook_size} codes, one for {text} |\n"
    has_latents = run.ids.codebook_size > 0
    text = _CARD.format(
        base=f"base_model: {json.dumps(model)}\n" if on_hub else "",  # JSON is YAML too
        method=run.method_name,
        title=_as_text(run.path.resolve().name),
        source=run.method.source,
        model=_as_cell(model if on_hub else Path(model).name),
        data=_as_cell(Path(str(run.arguments.get("data", ""))).name),
        latents=latents if run.codebook_size and run.method.writes_latents() else "",
        seed=run.seed,
        added=_WITH if starting_ids(tokenizer) and not run.template.chat else _WITHOUT,
        use=_THOUGHTS if run.method.uses_thoughts else _PLAIN,
        versions=", ".join(f"{name} {number}" for name, number in package_versions().items()),
        prompt=_as_block("the tokenizer's chat template" if run.template.chat else run.template.prompt.rstrip("\n")),
        solution=_as_code(run.template.marker.strip()),
        reading=_READING * has_latents + _EXPLAINED * bool(run.vqvae_path),
        figures=_figures(history),
        arguments="\n".join(f"- {_as_code(name)}: {_as_code(value)}" for name, value in run.arguments.items()),
    )
    (run.path / "README.md").write_text(text, encoding="utf-8")


def _as_code(value: Any) -> str:
    """Return a value as code in a line of Markdown, whatever it holds; nothing where there is none."""
    text = escaped(redacted(str(value))).replace("\n", "\\n").replace("\t", "\\t")
    ticks = "`" * (_longest_ticks(text) + 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{room}{text}{room}{ticks}" if text else ""


def _as_cell(value: Any) -> str:
    """Return a value as code in a cell of a table."""
    return _as_code(value).replace("|", "\\|")


def _as_text(value: str) -> str:
    """Return a value as text of Markdown in which no sign means anything but itself."""
    return re.sub(r"([\\`*_{}\[\]<>()#!|&~])", r"\\\1", escaped(" ".join(value.split())))


def _as_block(text: str) -> str:
    """Return lines as a block of code."""
    fence = "`" * max(_longest_ticks(text) + 1, 3)
    return f"{fence}\n{escaped(text)}\n{fence}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _figures(history: list[dict[str, Any]]) -> str:
    """Return the last log lines of training and of evaluation as a table."""
    last: dict[str, Any] = {}
    for line in history:
        last |= line
    names = (
        "step",
        "loss",
        "text_loss",
        "latent_loss",
        "latent_accuracy",
        "new_row_distance",
        "eval_loss",
        "train_runtime",
    )
    rows = [f"| {name} | {last[name]:.6g} |" for name in names if name in last]
    return "\n".join(["| figure (last logged) | value |", "|---|---|", *rows])
