"""A run as a task of lm-evaluation-harness: the run's own prompts, and answers read as ``mixlm evaluate`` reads them.

The run folder is a plain checkpoint already, so an export is two small files: the questions as JSONL, each with the
exact string that the model is given, and a YAML that says how to decode greedily, where the answer stands in what the
model wrote and that it is compared with the right one exactly. Latents are special tokens, which the harness leaves
out of the text.
"""

import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import mixlm
from mixlm.data.reading import require_apart
from mixlm.data.tables import Row
from mixlm.data.template import Template
from mixlm.data.texts.thoughts import THOUGHT_END
from mixlm.data.tokenization import starting_ids
from mixlm.errors import InputError
from mixlm.evaluation.measuring.records import gold_answer
from mixlm.evaluation.measuring.requests import longest_answer
from mixlm.generation.engine import Engine
from mixlm.generation.questions import readable_ids
from mixlm.run import Run
from vqvae.atomic_files import whole_file


@dataclass(frozen=True)
class HarnessTask:
    """An exported task.

    Attributes:
        name: Its name in the harness.
        rows: Number of questions.
        config: The YAML file.
        questions: The JSONL file.
        max_new_tokens: Longest answer.
        command: Runs the harness on it.
    """

    name: str
    rows: int
    config: Path
    questions: Path
    max_new_tokens: int
    command: str


def export_lm_eval(
    engine: Engine,
    rows: Sequence[Row],
    out: str | Path,
    name: str,
    max_new_tokens: int | None = None,
    source: str | Path | None = None,
) -> HarnessTask:
    """Write the files of a task.

    Args:
        engine: The run; its model is not loaded.
        rows: Tokenized rows, see ``mixlm.evaluation.inputs.open_rows``.
        out: Folder to write to; made if it is not there.
        name: Name of the task and of its files.
        max_new_tokens: Longest answer; None: as ``mixlm.evaluate`` sets it, and in any case so many that the longest
            prompt leaves room for them, since the harness would cut the prompt.
        source: Where the rows are from, which is not written over.

    Raises:
        InputError: If there is no row, a file of the task would be ``source``, the name is none for a task, the run
            thinks in continuous thoughts, a prompt does not fit, is not what a tokenizer makes of any text, or an
            answer is not found by the pattern.
    """
    run = engine.run
    if not re.fullmatch(r"[\w.-]+", name):
        raise InputError(f"--name {name}: give a name of letters, digits, dots, dashes and underscores")
    if not rows:
        raise InputError("there are no rows to export; give another file, split or --limit")
    if run.method.uses_thoughts:
        raise InputError(f"{run.path}: the harness cannot run the continuous thoughts of method '{run.method_name}'")
    documents = [_document(row, engine) for row in rows]
    most = _room(engine, rows, max_new_tokens or longest_answer(rows))
    out = Path(os.path.realpath(out))
    questions, config = out / f"{name}.jsonl", out / f"{name}.yaml"
    for file in (questions, config):
        if source is not None:
            require_apart(file, source)
    out.mkdir(parents=True, exist_ok=True)
    settings = task_config(run, name, questions, engine.tokenizer.eos_token, most)
    _write(questions, "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents))
    _write(config, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=119))
    return HarnessTask(name, len(rows), config, questions, most, _command(engine, name, out))


def task_name(run: str | Path, data: str | Path) -> str:
    """Return a name for a task, made of the names of a run and of a file or dataset.

    >>> task_name("out/cot", "rows/test.jsonl")
    'mixlm_cot_test'
    """
    return re.sub(r"[^\w.-]+", "_", f"mixlm_{Path(os.path.realpath(run)).name}_{Path(data).stem}")


def task_config(run: Run, name: str, questions: Path, end: str, max_new_tokens: int) -> dict[str, Any]:
    """Return the YAML of a task as plain values.

    Args:
        run: The run.
        name: Of the task.
        questions: The JSONL file, with columns ``prompt`` and ``answer``.
        end: The tokenizer's end of sequence as text.
        max_new_tokens: Longest answer.
    """
    pattern = {"function": "regex", "regex_pattern": answer_pattern(run.template), "fallback": _NO_ANSWER}
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(questions)}},
        "test_split": "test",
        "output_type": "generate_until",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "target_delimiter": "",
        "generation_kwargs": {"until": [end], "do_sample": False, "max_gen_toks": max_new_tokens, **_PLAIN},
        "filter_list": [{"name": "answer", "filter": [pattern, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0, "mixlm": mixlm.__version__, "method": run.method_name},
    }


def answer_pattern(template: Template) -> str:
    r"""Return a regular expression whose one group is the answer that ``Template.find_answer`` finds.

    >>> answer_pattern(Template())
    '(?s)\\A.*\\#\\#\\#(.*)'
    """
    marker, ending = (re.escape(part.strip()) for part in (template.marker, template.ending))
    start = rf"(?s)\A.*{marker}" if marker else rf"(?s)\A(?:.*{THOUGHT_END})?" if template.chat else r"(?s)\A"
    if not ending:
        return rf"{start}(.*)"
    return rf"{start}(.*?)(?:(?!.+{ending}){ending}.*)?\Z"  # up to the last ending, if there is one


_PLAIN = {"repetition_penalty": 1.0}  # a checkpoint may have one of its own, which would be applied
_NO_ANSWER = "[no answer]"


def _document(row: Row, engine: Engine) -> dict[str, Any]:
    """Return a row's prompt and answer as text, after finding out that the harness makes of them what we do."""
    tokenizer, ids, start = engine.tokenizer, engine.run.prompt(row["prompt_ids"]), _harness_start(engine)
    prompt = readable_ids(ids[len(start) :], tokenizer)
    read = tokenizer(prompt, add_special_tokens=bool(start))["input_ids"]
    if read[: len(ids)] == ids and read != ids:
        raise InputError(
            f"{engine.run.path}: its tokenizer puts {tokenizer.decode(read[len(ids) :])!r} behind every text, which "
            "would end the harness's prompts; set add_eos_token to false in its tokenizer_config.json, and call mixlm "
            "check --accept"
        )
    if read != ids:
        raise InputError(
            f"row {row['row']}: no text has the tokens of its prompt, as where a question names a special token; "
            "leave it out"
        )
    answer = gold_answer(row, engine)
    solution = tokenizer.decode(row["solution_ids"], skip_special_tokens=True)  # as the harness decodes
    found = re.findall(answer_pattern(engine.run.template), solution)
    if not found or found[0].strip() != answer:
        raise InputError(f"row {row['row']}: its answer {answer!r} is another one when decoded as text; leave it out")
    return {"row": row["row"], "prompt": prompt, "answer": answer}


def _harness_start(engine: Engine) -> list[int]:
    """Return what the harness puts before a prompt; a chat template writes its own beginning."""
    return [] if engine.run.template.chat else starting_ids(engine.tokenizer)


def _room(engine: Engine, rows: Sequence[Row], wanted: int) -> int:
    run, context = engine.run, engine.context
    if context is None:
        return wanted
    longest = max(len(run.prompt(row["prompt_ids"])) for row in rows)
    if longest >= context:
        raise InputError(
            f"{run.path}: a prompt has {longest} tokens, the model's context holds {context} with the answer; leave "
            "that row out"
        )
    return min(wanted, context - longest)


def _command(engine: Engine, name: str, out: Path) -> str:
    begins = bool(_harness_start(engine))
    model = f"pretrained={engine.run.path.resolve()},add_bos_token={begins}"
    words = ["lm_eval", "--model", "hf", "--model_args", model, "--tasks", name, "--include_path", str(out)]
    return shlex.join([*words, "--batch_size", "32"])


def _write(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text)
