import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.methods import main as methods
from pipelines.train import main
from tests.tiny_data import write_encoded, write_raw, write_scratch


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def common(tmp_path: Path) -> list[object]:
    shape = ["--steps", 2, "--batch-size", 4, "--learning-rate", 1e-2]
    return ["--model", write_scratch(tmp_path), "--out", tmp_path / "run", *shape]


def assert_one_line(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert all(part in lines[-1] for part in parts), result.stderr
    assert "Traceback" not in result.output and (code == 2 or len(lines) == 1)


def test_trains_an_encoded_dataset_and_says_what_comes_next(tmp_path: Path, common: list) -> None:
    result = run(write_encoded(tmp_path), *common, "--method", "assorted", "-o", "mix=uniform")
    assert result.exit_code == 0, result.output
    assert f"wrote {tmp_path / 'run'}" in result.output and "mixlm-generate" in result.output
    info = json.loads((tmp_path / "run" / "mixlm.json").read_text())
    assert info["method_name"] == "assorted" and info["method_options"]["mix"] == "uniform"
    assert info["arguments"]["steps"] == 2 and info["ids"]["codebook_size"] == 4


def test_what_comes_next_can_be_pasted_into_a_shell(tmp_path: Path, common: list) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    raw, held_out = write_raw(folder), folder / "held out.jsonl"
    held_out.write_text(raw.read_text().partition("\n")[2])
    common[3] = folder / "run"
    said = run(raw, *common, "--method", "cot", "--valid", held_out).output.splitlines()[-1]
    generate, evaluate = (shlex.split(command) for command in said.removeprefix("next: ").split("   or   "))
    assert generate == ["mixlm-generate", str(folder / "run"), "a question"]
    assert evaluate == ["mixlm", "evaluate", str(folder / "run"), str(held_out)]


def test_what_comes_next_names_no_file_that_was_learned_from(tmp_path: Path, common: list) -> None:
    raw = write_raw(tmp_path)
    said = run(raw, *common, "--method", "cot").output.splitlines()[-1]
    assert str(raw) not in said and said.endswith("FILE, of questions that it has not learned from")


def test_a_tracker_that_is_not_there_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom importlib import util\nutil.find_spec = lambda name: None\n"
        "from pipelines.train import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    assert 'torch' not in sys.modules"
    )
    arguments = ["d", "--model", "m", "--method", "cot", "--out", str(tmp_path / "run"), "--report-to", "wandb"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "Error: --report-to wandb: not installed; pip install wandb\n")


def test_trains_on_a_raw_file_without_codes(tmp_path: Path, common: list) -> None:
    result = run(write_raw(tmp_path), *common, "--method", "sol-only", "--solution-template", r"\n= {answer}")
    assert result.exit_code == 0, result.output
    info = json.loads((tmp_path / "run" / "mixlm.json").read_text())
    assert info["template"]["solution"] == "\n= {answer}"
    assert not (tmp_path / "run" / "vqvae").exists()


def test_answers_are_found_by_a_pattern_that_the_run_keeps(tmp_path: Path, common: list) -> None:
    raw, encoded = tmp_path / "raw.jsonl", write_encoded(tmp_path)
    raw.write_text('{"question": "?", "response": "a</think>So 3. Or 4."}\n' * 8)
    assert_one_line(run(raw, *common, "--method", "cot", "--answer-pattern", "("), 1, "no regular expression")
    assert_one_line(run(encoded, *common, "--method", "cot", "--answer-pattern", "4"), 1, "give it to mixlm-encode")
    assert not (tmp_path / "run").exists()
    result = run(raw, *common, "--method", "cot", "--answer-pattern", r"Or (\d)")
    assert result.exit_code == 0, result.output
    assert "answers: 8 by --answer-pattern" in result.output.splitlines()
    info = json.loads((tmp_path / "run" / "mixlm.json").read_text())
    assert info["answer_pattern"] == info["arguments"]["answer_pattern"] == r"Or (\d)"


def test_options_come_from_yaml_and_the_command_line_wins(tmp_path: Path, common: list) -> None:
    config = tmp_path / "train.yaml"
    config.write_text('method: assorted\nmethod-option: [mix=weighted, "weights=1,2,1"]\nseed: 7\nbatch_size: 5\n')
    result = run(write_encoded(tmp_path), "--config", config, *common)
    assert result.exit_code == 0, result.output
    arguments = json.loads((tmp_path / "run" / "mixlm.json").read_text())["arguments"]
    assert (arguments["seed"], arguments["batch_size"], arguments["method_options"]) == (
        7,
        4,
        {"mix": "weighted", "weights": "1,2,1"},
    )


def test_mistakes_are_one_line_and_write_nothing(tmp_path: Path, common: list) -> None:
    encoded, raw = write_encoded(tmp_path), write_raw(tmp_path)
    config = tmp_path / "train.yaml"
    config.write_text("learning_rat: 1\n")
    torn = tmp_path / "torn.jsonl"
    torn.write_text('{"question": "1?", "steps": ["1"], "answer": "1"}\n{"question": "2?"\n')
    cases = [
        ((encoded, *common), 2, ("--method",)),
        ((encoded, *common, "--method", "assorted", "--config", config), 2, ("learning_rat", "learning-rate")),
        ((encoded, *common, "--method", "asorted"), 1, ("asorted", "choose from", "assorted")),
        ((encoded, *common, "--method", "assorted", "-o", "mixx=uniform"), 1, ("mixx", "mix")),
        ((encoded, *common, "--method", "assorted", "-o", "mix"), 1, ("NAME=VALUE",)),
        ((raw, *common, "--method", "assorted"), 1, ("raw.jsonl", "mixlm-encode")),
        ((torn, *common, "--method", "cot"), 1, ("torn.jsonl:2",)),
        ((tmp_path / "gone.jsonl", *common, "--method", "cot"), 1, ("gone.jsonl", "no such file")),
        ((encoded, *common, "--method", "cot", "--batch-size", 400), 1, ("400", "--batch-size")),
        (
            (encoded, *common, "--method", "cot", "--batch-size", 4, "--micro-batch-size", 3),
            1,
            ("--micro-batch-size",),
        ),
        ((encoded, *common, "--method", "cot", "--select", "loss"), 1, ("--eval-every",)),
        (
            (encoded, *common, "--method", "cot", "--select", "loss", "--eval-every", 20, "--save-every", 30),
            1,
            ("--save-every 30", "--eval-every 20"),
        ),
        ((raw, *common, "--method", "cot", "--prompt-template", "Q"), 1, ("--prompt-template", "{question}")),
    ]
    for arguments, code, parts in cases:
        assert_one_line(run(*arguments), code, *parts)
        assert not (tmp_path / "run").exists()


def test_methods_are_listed_with_source_and_options() -> None:
    output = CliRunner().invoke(methods, []).output
    for expected in ("assorted", "random-codes", "cot", "sol-only", "-o mix=weighted", "Token Assorted, section 3"):
        assert expected in output


@pytest.fixture
def asked_to_end(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """A function that lets a signal come after a step of every training from then on; step 0: none comes."""

    def ask(step: int, signum: int) -> None:
        @contextmanager
        def told(title: str, *hints: str) -> Iterator[Callable[..., None]]:
            yield lambda done, total, figures: os.kill(os.getpid(), signum) if done == step else None

        monkeypatch.setattr("pipelines.train.progress_bar", told)

    return ask


@pytest.mark.usefixtures("hangups_end")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_was_interrupted_goes_on_by_its_folder_alone(
    signum: int, code: int, tmp_path: Path, common: list, asked_to_end: Callable
) -> None:
    raw, out = write_raw(tmp_path), tmp_path / "run"
    given = [raw, *common, "--steps", 3, "--method", "pause", "-o", "count=2", "--separator", r"\n;"]
    asked_to_end(2, signum)
    ended = run(*given)
    assert ended.exit_code == code
    told = ended.stderr.strip().splitlines()[-1]
    assert told == "Error: interrupted after step 2 of 3, which is kept; the same command goes on from what is there"
    asked_to_end(0, signum)
    went_on = run("--resume", out)
    assert went_on.exit_code == 0 and f"going on from {out}/checkpoints/checkpoint-2" in went_on.output
    given[given.index(out)] = tmp_path / "whole"
    assert run(*given).exit_code == 0
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert not (out / "checkpoints").exists() and json.loads((out / "mixlm.json").read_text())["step"] == 2
    for again in (["--resume", out], [argument if argument != tmp_path / "whole" else out for argument in given]):
        finished = run(*again)
        assert finished.exit_code == 0, finished.output
        assert f"{out}: already trained with these arguments; nothing to do" in finished.output
        assert "wrote" not in finished.output


def test_a_folder_in_which_nothing_began_is_not_gone_on_with(tmp_path: Path) -> None:
    assert_one_line(run("--resume", tmp_path), 2, "--resume", "no run has begun there; give the whole command")


@pytest.mark.usefixtures("hangups_end")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_first_step_ends_at_once(signum: int, tmp_path: Path, common: list, monkeypatch) -> None:
    monkeypatch.setattr("mixlm.training.train.set_seed", lambda seed: os.kill(os.getpid(), signum))
    result = run(write_raw(tmp_path), *common, "--method", "cot")
    assert_one_line(result, 128 + signum, "Error: ended by the system")
    assert not (tmp_path / "run").exists()
