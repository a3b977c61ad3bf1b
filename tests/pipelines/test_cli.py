import subprocess
import sys

import pytest
from click.testing import CliRunner

import mixlm
from pipelines.cli import COMMANDS, main
from pipelines.shared.command import Command


HEAVY = "torch transformers datasets vector_quantize_pytorch pandas pyarrow numpy"
HELP = f"""
import sys
from pipelines.cli import main
try:
    main(sys.argv[1:], prog_name="mixlm")
except SystemExit as end:
    assert end.code == 0, end.code
heavy = [name for name in "{HEAVY}".split() if name in sys.modules]
assert not heavy, heavy
"""


NESTED = [[group, name] for group in ("data", "export") for name in main.get_command(None, group).commands]


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS), *NESTED], ids=" ".join)
def test_help_imports_no_heavy_library(arguments):
    done = subprocess.run([sys.executable, "-c", HELP, *arguments, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(" ".join(["Usage: mixlm", *arguments]))


def test_packages_import_without_torch():
    code = "import sys, vqvae, mixlm, pipelines.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_command_is_listed_and_takes_a_config_file():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in result.output
        command = main.get_command(None, name)
        assert name in ("data", "export") or isinstance(command, Command)


def test_version():
    assert CliRunner().invoke(main, ["--version"]).output == f"mixlm, version {mixlm.__version__}\n"


def test_unknown_command_is_a_usage_error():
    result = CliRunner().invoke(main, ["trian"])
    assert result.exit_code == 2
    assert "No such command 'trian'" in result.stderr


def test_methods_are_listed_with_their_options():
    from mixlm.methods import METHODS

    result = CliRunner().invoke(main, ["methods"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines() if not line.startswith(" ")] == list(METHODS)
    assert "-o mix=weighted" in result.output


def test_every_method_is_listed_with_source_options_and_recipes():
    from dataclasses import fields

    from mixlm.methods import METHODS

    for name, method in METHODS.items():
        shown = CliRunner().invoke(main, ["methods", name]).stdout.splitlines()
        assert shown[0].startswith(f"{name}  ({method.source}")
        options = [place for place, line in enumerate(shown) if line.startswith("    -o ")]
        assert len(options) == len(fields(method))
        assert all(shown[place + 1].startswith(" " * 8) for place in options)  # each says what it does
        assert "    --config " in shown[-1]


def test_choices_and_defaults_of_an_option_are_shown():
    shown = CliRunner().invoke(main, ["methods", "coconut", "assorted"]).stdout
    assert "-o mixing=none  [none, uniform, weighted]" in shown
    assert "-o pad_to_max=true" in shown and "-o weights=1.0,2.0,1.0" in shown


def test_a_method_that_does_not_exist_is_named():
    result = CliRunner().invoke(main, ["methods", "coconuts"])
    assert result.exit_code == 1 and "method 'coconuts': there is no such method" in result.output
