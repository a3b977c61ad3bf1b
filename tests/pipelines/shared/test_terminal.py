"""Text of others steers no terminal, wherever it is printed."""

import ast
import io
import json
import sys
import unicodedata
from functools import partial
from pathlib import Path

import pytest
from rich.table import Table

from mixlm.shown import escaped
from pipelines.cli import main
from pipelines.shared import jobs, progress
from pipelines.shared.command import Failure
from pipelines.shared.console import PlainConsole
from pipelines.shared.terminal import echo, echo_json, echo_results, prepare_output, shown
from tests.calling import call_command
from tests.hostile_server import hostile, sending


ROOT = Path(__file__).parents[3]
EVIL = (
    "\x1b[31mred\x1b]8;;http://evil/\x07link\x9b2J\r\b\x7f\u202e\u2066\u200b\ufeff\u2028\U000e0041"
    "[bold red]x[/] :smile: \\"
)
PLAIN = escaped(EVIL)
KEPT = (
    *("\n", "\t", "naïve \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 你好 हिन्दी"),
    *("👩\u200d💻", "❤\ufe0f\u200d🔥", "می\u200cخواهم"),
)
call = partial(call_command, main)


def steering(text: str) -> list[str]:
    """Return the characters of a text that a terminal would obey, or would not show."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [letter for letter in text if unicodedata.category(letter) in kinds and letter not in "\n\t"]


@pytest.mark.parametrize("text", KEPT)
def test_text_that_steers_nothing_is_shown_as_it_is(text):
    assert escaped(text) == text


def test_what_would_steer_is_written_as_json_writes_it():
    assert PLAIN.startswith(
        "\\u001b[31mred\\u001b]8;;http://evil/\\u0007link\\u009b2J\\r\\b\\u007f\\u202e\\u2066\\u200b"
    )
    assert PLAIN.endswith("\\udb40\\udc41[bold red]x[/] :smile: \\") and escaped(PLAIN) == PLAIN


def test_no_character_of_unicode_steers_or_hides():
    everything = " ".join(chr(number) for number in range(0x110000) if chr(number) not in "\n\t")
    visible = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")  # signs
    hieroglyphs = {chr(number) for number in range(0x13430, 0x13440)}  # which say where others stand
    assert set(steering(escaped(everything))) <= visible | hieroglyphs


@pytest.mark.parametrize("text", ["a\u200db", "\u0440\u200c\u0430", "a\u200c", "\u200d\u0639", "👩\u200d "])
def test_what_joins_nothing_is_shown(text):
    assert not steering(escaped(text))


def test_json_keeps_its_meaning(capsys):
    echo_json({"prompt": EVIL})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"prompt": EVIL} and not steering(printed)


def test_a_line_is_shown_without_keys(capsys, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "0123-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-secret-too")
    echo("0123-SECRET at http://me:word@host/x?y@z, hf-secret-too, hf_abcdefghijklmnopqrstuvwxyz")
    assert capsys.readouterr().out == "*** at http://***@host/x?y@z, ***, ***\n"
    assert shown("aHR0cDovL 0123-secret MDEyMy1zZWNyZXQ=") == "aHR0cDovL *** ***="


def test_a_console_prints_strings_as_they_are(capsys):
    table = Table(EVIL, title=EVIL, caption=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL, EVIL)
    console = PlainConsole(least_width=1000)
    console.print(EVIL, table, style="bold")
    console.print(EVIL, soft_wrap=True)
    printed = capsys.readouterr().out
    assert not steering(printed) and printed.count("[bold red]x[/] :smile:") == 8


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_shows_names_as_they_are(monkeypatch, terminal):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERM", "dumb")
    with progress.progress_bar(EVIL) as advance:
        advance(1, 1, {EVIL: 0.5})
    with jobs.shown() as show:
        show(EVIL, EVIL)
        show(EVIL, progress.Reached(EVIL, 1, 1))
    text = stream.getvalue()
    assert "\\u001b[31mred" in text and not set(steering(text)) - {"\x1b", "\r"}
    assert not {"\x1b[31mred", "\x1b]8"} & {
        text[place : place + size] for place in range(len(text)) for size in (3, 8)
    }
    assert "[bold red]x[/]" in text


def test_an_error_is_one_line_that_steers_nothing():
    assert not steering(Failure(f"{EVIL}\n{EVIL}").format_message())


@pytest.mark.parametrize(
    "arguments",
    [
        [EVIL],
        ["data", EVIL],
        ["export", EVIL],
        ["generate", f"--{EVIL}"],
        ["generate", EVIL, "1?"],
        ["generate", "x", "--samples", EVIL],
        ["generate", "x", "--config", EVIL],
        ["methods", EVIL],
        ["train", EVIL, "--model", EVIL, "--out", EVIL, "--method", "cot"],
        ["train", "x", "--model", "y", "--out", "z", "--method", EVIL],
        ["train", "x", "--model", "y", "--out", "z", "--method", "cot", "-o", f"{EVIL}=1"],
        ["encode", EVIL, "--model", EVIL, "--out", EVIL],
        ["data", "convert", EVIL, "--out", "x.jsonl"],
        ["compare", EVIL, "--out", "x"],
        ["evaluate", EVIL, EVIL],
        ["evaluate", "x", "y", "--check", EVIL],
        ["analyze", EVIL, EVIL, "--out", "x"],
    ],
)
def test_what_is_wrong_with_a_call_is_told_without_steering(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from click.testing import CliRunner

    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2) and isinstance(result.exception, SystemExit), result.output
    assert "red" in result.output and not steering(result.output)


def test_question_answer_and_reading_are_shown_and_kept(run, tmp_path):
    body = {"choices": [{"text": f"{EVIL}\n\tsecond", "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
    source, out = tmp_path / "q.jsonl", tmp_path / "out.jsonl"
    question = EVIL[:12] + EVIL[-20:]
    source.write_text("".join(json.dumps({"question": f"{question} {number}"}) + "\n" for number in range(2)))
    with hostile(sending(json.dumps(body).encode())) as server:
        ask = ["--endpoint", server.url, "--served-model", EVIL, "--max-new-tokens", 4]
        printed = call("generate", run.path, "--input", source, *ask).stdout
        call("generate", run.path, "--input", source, *ask, "--output", out)
    assert not steering(printed) and printed.count(f"{PLAIN}\n") == 2 and f"{escaped(question)} 1" in printed
    assert "        second" in printed.expandtabs() or "\tsecond" in printed
    first = json.loads(out.read_text().partition("\n")[0])
    assert first["question"] == f"{question} 0" and EVIL in first["text"]


def test_what_a_server_refuses_with_is_shown(run):
    with hostile(sending(json.dumps({"error": EVIL}).encode(), "400 Bad")) as server:
        printed = call("generate", run.path, "1?", "--endpoint", server.url, code=1).output
    assert "red" in printed and not steering(printed)


def test_a_prompt_is_printed_as_json_that_steers_nothing(run):
    printed = call("generate", run.path, EVIL, "--print-prompt").stdout
    assert not steering(printed) and json.loads(printed)["prompt_ids"]


PRINTERS = {"click": {"echo", "secho", "style", "echo_via_pager"}, "rich": {"print"}, "sys": {"stdout", "stderr"}}


@pytest.mark.parametrize("package", ["vqvae", "mixlm", "pipelines"])
def test_nothing_is_printed_on_another_way(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.name in ("terminal.py", "console.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("rich.console", "rich.text", "rich.markup"), path
                assert not {one.name for one in node.names} & PRINTERS.get(node.module, set()), path
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"), path


@pytest.mark.parametrize("encoding", ["latin-1", "iso8859-15", "ascii", "utf-8"])
def test_a_line_of_json_is_one_whatever_letters_the_output_has(monkeypatch, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    prepare_output()
    echo_json({"text": "é ¤ 😀"})
    echo_results({"text": "é ¤ 😀"})
    sys.stdout.flush()
    for line in written.getvalue().decode(encoding).splitlines():
        assert json.loads(line) == {"text": "é ¤ 😀"}
    assert len(written.getvalue().splitlines()) == 2


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_letters_that_the_output_does_not_have_are_printed_as_escapes(monkeypatch, errors):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", errors=errors))
    prepare_output()
    PlainConsole().print("1 \ufffd é")
    echo_json({"text": "é"})
    sys.stdout.flush()
    text, line = written.getvalue().splitlines()
    assert text == rb"1 \ufffd \xe9"
    assert json.loads(line) == {"text": "é"}
