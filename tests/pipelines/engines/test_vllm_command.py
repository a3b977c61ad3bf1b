"""Where vLLM is looked for, what it is told, and what is told of its end."""

import json
import os
import sys
from dataclasses import replace

import pytest

from mixlm.errors import InputError
from mixlm.run import load_run
from pipelines.engines.vllm import command_for, dtype_of, environment_for, interpreter, last_words
from tests.tiny_runs import saved_run, tiny_run


@pytest.fixture
def venv(tmp_path):
    """An environment whose path has a space in it."""
    folder = tmp_path / "an environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder


@pytest.mark.parametrize(
    "lines",
    ["#!{python}\n", "#!/usr/bin/env python\n", "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"],
)
def test_of_a_script_its_python_is_taken(lines, venv, monkeypatch):
    script, python = venv / "bin" / "vllm", str(venv / "bin" / "python")
    if lines.startswith("#!{"):
        link = venv.parent / "link"
        link.symlink_to(venv)
        python = f"{link}/bin/python"
    script.write_text(f"{lines.format(python=python)}import vllm\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(venv / "bin"))
    monkeypatch.setattr("pipelines.engines.vllm.find_spec", lambda name: None)
    assert interpreter("vllm") == interpreter(str(script)) == python


def test_a_path_is_a_python_or_its_environment(venv, monkeypatch):
    python = str(venv / "bin" / "python")
    assert interpreter(str(venv)) == interpreter(python) == python  # and not what it is a link to
    monkeypatch.chdir(venv)
    assert interpreter("bin/python") == interpreter(".") == python


def test_this_python_is_taken_where_it_has_it(monkeypatch, tmp_path):
    (tmp_path / "vllm").mkdir()  # a folder of this name is none, wherever it lies
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match="--engine vllm: is not installed here; install it into an environment of its"
    ):
        interpreter("vllm")
    (tmp_path / "vllm" / "__init__.py").touch()
    assert interpreter("vllm") == sys.executable


def test_where_nothing_is_one_line_says_so(tmp_path):
    for path in (tmp_path, tmp_path / "none", tmp_path / "vllm"):
        with pytest.raises(InputError, match=f"--engine {path}: no python is there"):
            interpreter(str(path))


def test_the_dtype_is_that_of_the_weights(tmp_path):
    run = saved_run(tmp_path / "run")
    assert dtype_of(run) == "float32" and f"--model={run.path}" in command_for(run, sys.executable)
    run.load_model("bfloat16").save_pretrained(run.path)
    run.save()
    assert dtype_of(load_run(run.path)) == "bfloat16"
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(
        json.dumps({name: value for name, value in config.items() if name != "dtype"})
    )
    run.save()
    assert dtype_of(load_run(run.path)) == "bfloat16"


@pytest.mark.parametrize(("method", "thinks"), [("assorted", False), ("cot", False), ("coconut", True)])
def test_vectors_are_asked_for_where_the_method_thinks(run, method, thinks):
    command = command_for(tiny_run(method, run.path), sys.executable)
    assert ("--enable-prompt-embeds" in command) == thinks


def test_settings_of_the_user_stay_and_nothing_asks_the_network(run, monkeypatch):
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    ours = environment_for(run, sys.executable)
    assert int(ours["VLLM_CPU_KVCACHE_SPACE"]) >= 1 and ours["HF_HUB_OFFLINE"] == ours["VLLM_NO_USAGE_STATS"] == "1"
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    theirs = environment_for(run, sys.executable)
    assert theirs["VLLM_CPU_KVCACHE_SPACE"] == "7" and theirs["HF_HUB_OFFLINE"] == "1"
    assert theirs["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(("codes", "asked"), [(512, None), (1024, "0")])
def test_where_a_request_names_many_latents_the_older_runner_is_asked_for(run, codes, asked, monkeypatch):
    monkeypatch.delenv("VLLM_USE_V2_MODEL_RUNNER", raising=False)
    large = replace(run, ids=replace(run.ids, codebook_size=codes))
    assert environment_for(large, sys.executable).get("VLLM_USE_V2_MODEL_RUNNER") == asked
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")
    assert environment_for(large, sys.executable)["VLLM_USE_V2_MODEL_RUNNER"] == "1"


def test_threads_that_come_with_the_engine_are_loaded_first_unless_the_user_loads_others(run, monkeypatch, tmp_path):
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    python, threads = tmp_path / "bin" / "python", tmp_path / "lib" / "libiomp5.so"
    assert "LD_PRELOAD" not in environment_for(run, str(python))
    threads.parent.mkdir()
    threads.touch()
    assert environment_for(run, str(python))["LD_PRELOAD"] == str(threads)
    monkeypatch.setenv("LD_PRELOAD", "/lib/mine.so")
    assert environment_for(run, str(python))["LD_PRELOAD"] == "/lib/mine.so"


WORKER, ENGINE = (
    "(Worker pid=2) ERROR 01-02 03:04:05 [executor.py:9] ",
    "(EngineCore pid=1) ERROR 01-02 03:04:05 [core.py:7] ",
)
TOLD = [
    # the reason, though others follow that were told of it, and lines that are of no interest
    (
        f"INFO fine\n{WORKER}Traceback:\n{WORKER}  File x\n{WORKER}RuntimeError: no heads of 8\n"
        f"{ENGINE}RuntimeError: Worker failed, see the stack trace above for the root cause\nnanobind: leaks\n",
        "RuntimeError: no heads of 8",
    ),
    # a reason of several lines
    (
        "pydantic.ValidationError: 1 validation error for Config\n  Value error, too long [type=x]\n    see there\n",
        "pydantic.ValidationError: 1 validation error for Config Value error, too long [type=x] see there",
    ),
    (
        "usage: api_server.py\napi_server.py: error: argument --dtype: no\n",
        "api_server.py: error: argument --dtype: no",
    ),
    (f"{ENGINE}Worker-0 died unexpectedly\n{ENGINE}RuntimeError: cancelled\n", "Worker-0 died unexpectedly"),
    (f"{WORKER}no error of Python's\nINFO the end\n", "no error of Python's"),
    ("first\nlast\n---\n\n", "last"),
    ("", "it said nothing"),
]


@pytest.mark.parametrize(("output", "words"), TOLD)
def test_the_reason_is_told_of_an_end(output, words):
    assert last_words(output) == words
