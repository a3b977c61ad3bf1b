import subprocess
import sys

import pytest
from click.testing import CliRunner

import mixlm
from pipelines.cli import COMMANDS, main
from pipelines.options import Command


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


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS), ["data", "gsm8k"]])
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
        assert name == "data" or isinstance(command, Command)


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
    assert "-o mix=paper" in result.output
