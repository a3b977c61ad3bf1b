"""Runs as tasks of lm-evaluation-harness."""

import json
import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.evaluation.evaluate import evaluate
from mixlm.evaluation.inputs import open_rows
from mixlm.evaluation.lm_eval import answer_pattern, export_lm_eval, task_name
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.generation.questions import Questions
from mixlm.run import Run
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.tiny_data import raw_rows, write_encoded, write_raw, write_scratch
from tests.tiny_runs import saved_run


SOLUTIONS = [
    "\n### {answer}",
    " #### {answer}",
    "The answer is {answer}.",
    r"so \boxed{{answer}}",
    "{answer}",
    "{answer}. ",
]
PIECES = ["###", "#", "####", "The answer is", ".", r"\boxed{", "}", "so", "7", " ", "\n", "1. 2", "(x|y)", ""]
CHAT = "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}[answer]"


def found_by(pattern: str, text: str) -> str | None:
    """What the harness's filter "regex" makes of a text: the group of the first match, stripped."""
    found = re.findall(pattern, text)
    assert not any(isinstance(match, tuple) for match in found)
    return found[0].strip() if found else None


@pytest.mark.parametrize("solution", SOLUTIONS)
@pytest.mark.parametrize(
    "text",
    [
        *("3 + 4 = 7\n### 7", "### 7", "first\n### 6\nno\n### 7", "x\n###", "none", "", "steps #### 12\nmore", "7"),
        *("The answer is 5.", "The answer is 5. Done. So.", "The answer is 2.50.", "The answer is 5", "a. b. c"),
        *(r"so \boxed{\frac{1}{2}}.", r"so \boxed{1} or so \boxed{2", "### two\nlines\n", "###\u00a07"),
    ],
)
def test_pattern_finds_what_evaluation_finds(solution, text):
    assert found_by(answer_pattern(Template(solution=solution)), text) == Template(solution=solution).find_answer(text)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.sampled_from(SOLUTIONS))
def test_pattern_finds_what_evaluation_finds_in_any_text(text, solution):
    assert found_by(answer_pattern(Template(solution=solution)), text) == Template(solution=solution).find_answer(text)


def test_an_ending_that_overlaps_itself_is_cut_at_its_last_place():
    assert Template(solution="x{answer}aa").find_answer("x aaa") == "a"
    assert found_by(answer_pattern(Template(solution="x{answer}aa")), "x aaa") == "a"


@pytest.fixture
def run(tmp_path):
    return saved_run(tmp_path / "run")


@pytest.fixture
def source(tmp_path):
    """Questions with quotes, braces, odd spaces, other letters and what looks like a template."""
    path = tmp_path / "rows.jsonl"
    questions = ["1 + 2?", "  two  spaces ", "a {{question}} {% raw %} 'b' \"c\"", "Größe\t√2 ≤ 北京?", "line\n\nline"]
    rows = [{"question": question, "steps": [], "answer": f"{place}"} for place, question in enumerate(questions)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def export(run: Run, source, folder, **options):
    """Export the rows of a file; returns the task, its YAML and its questions."""
    engine = Engine(run, tokenizer=options.pop("tokenizer", None))
    rows = open_rows(str(source), engine)
    task = export_lm_eval(engine, rows, folder, options.pop("name", "sums"), **options)
    documents = [json.loads(line) for line in task.questions.read_text().splitlines()]
    return task, yaml.safe_load(task.config.read_text()), documents


def test_files_say_everything_that_the_harness_needs(run, source, tmp_path):
    task, config, documents = export(run, source, tmp_path / "new" / "tasks", max_new_tokens=9)
    assert (task.name, task.rows, task.max_new_tokens) == ("sums", 5, 9)
    assert task.config == tmp_path / "new" / "tasks" / "sums.yaml"
    assert config.pop("metadata")["method"] == "assorted"
    assert config == {
        "task": "sums",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "new" / "tasks" / "sums.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "target_delimiter": "",
        "generation_kwargs": {
            "until": ["<|endoftext|>"],
            "do_sample": False,
            "max_gen_toks": 9,
            "repetition_penalty": 1.0,
        },
        "filter_list": [
            {
                "name": "answer",
                "filter": [
                    {
                        "function": "regex",
                        "regex_pattern": answer_pattern(run.template),
                        "fallback": "[no answer]",
                    },
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    assert [document["answer"] for document in documents] == ["0", "1", "2", "3", "4"]
    assert [document["row"] for document in documents] == [0, 1, 2, 3, 4]
    model = f"pretrained={run.path},add_bos_token=False"
    where = f"--tasks sums --include_path {task.config.parent}"
    assert task.command == f"lm_eval --model hf --model_args {model} {where} --batch_size 32"


def given_ids(run: Run, source, tokenizer) -> list[list[int]]:
    """What the model is given for each question of a file, as ``mixlm generate --print-prompt`` shows it."""
    (questions,) = Questions(source, Engine(run, tokenizer=tokenizer))
    return [run.prompt(question.prompt_ids) for question in questions]


@pytest.mark.parametrize("template", [Template(), Template(prompt="Q: {question} \nA: ")])
def test_prompts_are_the_strings_of_the_template(run, source, tmp_path, template):
    run.template = template
    documents, tokenizer = export(run, source, tmp_path)[2], run.tokenizer()
    questions = [json.loads(line)["question"] for line in source.read_text().splitlines()]
    assert [document["prompt"] for document in documents] == [*map(template.render_prompt, questions)]
    ids = [tokenizer(document["prompt"], add_special_tokens=False)["input_ids"] for document in documents]
    assert ids == given_ids(run, source, tokenizer)


def test_prompts_of_a_chat_hold_its_markup(run, source, tmp_path):
    run.template = Template(chat=True)
    tokenizer = run.tokenizer()
    tokenizer.chat_template = CHAT
    documents = export(run, source, tmp_path, tokenizer=tokenizer)[2]
    assert documents[0]["prompt"] == "<s>1 + 2?</s>[answer]"
    ids = [tokenizer(document["prompt"], add_special_tokens=False)["input_ids"] for document in documents]
    assert ids == given_ids(run, source, tokenizer)


def test_what_a_method_puts_after_the_prompt_is_part_of_it(source, tmp_path):
    """Pause tokens are special tokens that the tokenizer reads out of the string."""
    run = saved_run(tmp_path / "run")
    tokenizer = run.tokenizer()
    tokenizer.add_tokens(["<pause>"], special_tokens=True)
    run.method_name, run.method_options = "pause", {"count": 3}
    run.ids = type(run.ids).from_names(run.ids.eos, {"<pause>": len(tokenizer) - 1})
    documents = export(run, source, tmp_path, tokenizer=tokenizer)[2]
    assert documents[0]["prompt"] == "1 + 2?\n" + 3 * "<pause>"
    ids = [tokenizer(document["prompt"], add_special_tokens=False)["input_ids"] for document in documents]
    assert ids == given_ids(run, source, tokenizer)


def starting_tokenizer(run: Run):
    """The run's tokenizer, made to begin texts with a token of its own."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = run.tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|start|>"})
    pair = ("<|start|>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|start|> $A", special_tokens=[pair])
    return tokenizer


def test_begin_of_sequence_is_left_to_the_harness(run, source, tmp_path):
    tokenizer = starting_tokenizer(run)
    task, _, documents = export(run, source, tmp_path, tokenizer=tokenizer)
    assert "add_bos_token=True" in task.command
    assert documents[0]["prompt"] == "1 + 2?\n"
    ids = [tokenizer(document["prompt"])["input_ids"] for document in documents]
    assert ids == given_ids(run, source, tokenizer)
    assert all(row[0] == tokenizer.bos_token_id for row in ids)


def test_chat_template_writes_its_own_beginning(run, source, tmp_path):
    run.template, tokenizer = Template(chat=True), starting_tokenizer(run)
    tokenizer.chat_template = "{{ bos_token }}" + CHAT
    task, _, documents = export(run, source, tmp_path, tokenizer=tokenizer)
    assert "add_bos_token=False" in task.command
    assert documents[0]["prompt"] == "<|start|><s>1 + 2?</s>[answer]"
    ids = [tokenizer(document["prompt"], add_special_tokens=False)["input_ids"] for document in documents]
    assert ids == given_ids(run, source, tokenizer)


def test_question_that_names_a_special_token_is_refused(run, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"question": "a?", "steps": [], "answer": "1"}\n')
    with source.open("a") as file:
        file.write('{"question": "What is <latent_3>?", "steps": [], "answer": "1"}\n')
    with pytest.raises(InputError, match="row 1: no text has the tokens of its prompt"):
        export(run, source, tmp_path / "tasks")
    assert not (tmp_path / "tasks").exists()


def test_prompt_is_never_cut(run, source, tmp_path):
    """The harness cuts prompts from the left where prompt and answer do not fit; 64 tokens do."""
    longest = max(map(len, given_ids(run, source, run.tokenizer())))
    assert export(run, source, tmp_path, max_new_tokens=1000)[0].max_new_tokens == 64 - longest
    source.write_text(json.dumps({"question": "x" * 80, "steps": [], "answer": "1"}))
    with pytest.raises(InputError, match="a prompt has 8. tokens, the model's context holds 64"):
        export(run, source, tmp_path)


def test_what_cannot_be_exported_is_refused(run, source, tmp_path):
    engine = Engine(run)
    rows = open_rows(str(source), engine)
    with pytest.raises(InputError, match="--name 'a/b'|--name a/b: give a name of letters"):
        export_lm_eval(engine, rows, tmp_path, "a/b")
    with pytest.raises(InputError, match="there are no rows to export"):
        export_lm_eval(engine, [], tmp_path, "a")
    with pytest.raises(InputError, match=f"{source}: is what is read, and would be lost; give another place"):
        export_lm_eval(engine, rows, source.parent, source.stem, source=source)
    engine = Engine(replace(run, method_name="coconut", method_options={}))
    with pytest.raises(InputError, match="continuous thoughts of method 'coconut'"):
        export_lm_eval(engine, rows, tmp_path, "a")


def test_a_tokenizer_that_ends_every_text_is_named(run, source, tmp_path):
    engine = Engine(run)
    end = engine.tokenizer.eos_token
    pieces = {"single": f"{end} $A {end}", "pair": f"{end} $A $B", "special_tokens": [(end, run.ids.eos)]}
    engine.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(**pieces)
    rows = open_rows(str(source), engine)
    with pytest.raises(
        InputError, match=f"its tokenizer puts '{re.escape(end)}' behind every text, .* add_eos_token to"
    ):
        export_lm_eval(engine, rows, tmp_path, "a")


def test_task_is_named_after_run_and_data(tmp_path):
    assert task_name(tmp_path / "cot 1", "rows/test,a.jsonl") == "mixlm_cot_1_test_a"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of two methods that learned sums a little, and twenty sums: some known to them, some of them wrong."""
    pytest.importorskip("lm_eval")
    folder = tmp_path_factory.mktemp("trained")
    model, encoded = write_scratch(folder), write_encoded(folder)
    common = {"batch_size": 20, "learning_rate": 5e-3, "steps": 120, "method_options": {}}
    for method, data in (("cot", write_raw(folder)), ("assorted", encoded)):
        options = {**common, "method_options": {"lengths": [0, 2, 4]} if method == "assorted" else {}}
        train(str(data), str(model), folder / method, TrainingOptions(method=method, **options))
    rows = raw_rows(20)
    source = folder / "sums.jsonl"
    for place in range(0, 20, 4):
        rows[place]["answer"] = "99"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder, source


@pytest.mark.parametrize("method", ["cot", "assorted"])
def test_harness_finds_the_accuracy_of_evaluation(trained, tmp_path, method):
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    folder, source = trained
    engine = Engine.load(folder / method, "cpu")
    rows = open_rows(str(source), engine)
    task = export_lm_eval(engine, rows, tmp_path, "sums")
    ours = evaluate(engine, rows, GenerationOptions(task.max_new_tokens, decoding="plain"))

    theirs = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(engine.run.path), "add_bos_token": False},
        tasks=["sums"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        batch_size=7,
        device="cpu",
    )
    samples = sorted(theirs["samples"]["sums"], key=lambda sample: sample["doc"]["row"])
    assert [sample["filtered_resps"] for sample in samples] == [
        [record["answer"] if record["answer"] is not None else "[no answer]"] for record in ours["records"]
    ]
    assert theirs["results"]["sums"]["exact_match,answer"] == ours["modes"]["free"]["accuracy"]
    assert 0 < ours["modes"]["free"]["accuracy"] < 1
