"""The wheel, installed where neither the checkout nor an editable installation can be seen."""

import os
import subprocess
from email import message_from_string
from pathlib import Path

import pytest


CHECKOUT = Path(__file__).parents[1]
WHERE = "import {0}; print({0}.__file__)"
METADATA = "import importlib.metadata as m; print(m.distribution('mixlm').read_text('METADATA'))"
RECIPES = """
from importlib.resources import files
from pathlib import Path
print(*sorted(item.name for item in Path(str(files("pipelines") / "recipes")).rglob("*.yaml")))
"""


@pytest.fixture
def run(installed, tmp_path):
    """A function that runs a program of the installation in an empty folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def call(program: str, *arguments: str) -> str:
        command = [str(installed / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.mark.parametrize("package", ["vqvae", "mixlm", "mixlm.methods", "mixlm.tasks", "pipelines"])
def test_packages_are_the_installed_ones(run, installed, package):
    assert run("python", "-c", WHERE.format(package)).startswith(str(installed.parent / "lib"))


def test_tests_are_not_installed(run, installed):
    (site,) = installed.parent.glob("lib/python*/site-packages")
    assert {path.name for path in site.iterdir() if path.is_dir() and path.suffix == ""} == {
        "vqvae",
        "mixlm",
        "pipelines",
    }


def test_recipes_are_package_data(run):
    expected = sorted(path.name for path in (CHECKOUT / "pipelines" / "recipes").rglob("*.yaml"))
    assert expected
    assert run("python", "-c", RECIPES).split() == expected


def test_metadata_names_bounds_and_extras(run):
    metadata = message_from_string(run("python", "-c", METADATA))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"lora", "math", "gguf", "test"} <= set(metadata.get_all("Provides-Extra"))
    bounds = [line for line in metadata.get_all("Requires-Dist") if "extra" not in line]
    assert bounds
    assert all(">=" in line for line in bounds)


@pytest.mark.parametrize("program", ["mixlm", "mixlm-encode", "mixlm-train", "mixlm-generate"])
def test_commands_are_there(run, program):
    assert run(program, "--help").startswith(f"Usage: {program} ")
