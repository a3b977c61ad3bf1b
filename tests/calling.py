"""Commands called as a user would, within the process of the test."""

import json
from pathlib import Path

from click.testing import CliRunner


def call_command(command, *arguments, code: int = 0):
    """Run a command and check its exit status; an error must end it without a traceback."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    if code:
        assert "Traceback" not in result.output and isinstance(result.exception, SystemExit)
    return result


def lines_of(path: Path) -> list[dict]:
    """Read the JSON lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
