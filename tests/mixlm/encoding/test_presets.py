from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixlm.encoding.manifest import describe_arguments, earlier_manifest, sized_options, write_manifest
from mixlm.encoding.options import PRESETS, ROWS_OF_PAPER, EncodingOptions, fitting_preset
from mixlm.errors import InputError
from tests.manifests import whole_manifest
from tests.tiny_data import write_raw
from vqvae.options import VQVAEModelOptions


AUTO = EncodingOptions(preset="auto")


def test_the_papers_sizes_are_the_models_own() -> None:
    assert {name: getattr(VQVAEModelOptions, name) for name in PRESETS["paper"]} == PRESETS["paper"]
    assert all(small < PRESETS["paper"][name] for name, small in PRESETS["small"].items())


@pytest.mark.parametrize(
    ("accelerator", "rows", "name"),
    [
        (True, ROWS_OF_PAPER, "paper"),
        (True, ROWS_OF_PAPER - 1, "small"),
        (False, 10**6, "small"),
        (False, 285, "small"),
    ],
)
def test_a_preset_fits_machine_and_rows(monkeypatch, accelerator: bool, rows: int, name: str) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
    assert fitting_preset(rows) == (name, PRESETS[name])


@pytest.mark.parametrize(("rows", "codes"), [(284, 128), (40, 32), (36, 32), (35, 16), (5, 4), (2, 2), (1, 2)])
def test_few_rows_have_fewer_codes(rows: int, codes: int) -> None:
    assert fitting_preset(rows) == ("small", {**PRESETS["small"], "codebook_size": codes})


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_what_is_given_counts_more(tmp_path: Path, preset: str) -> None:
    options = EncodingOptions(preset=preset, shape={"hidden_size": 96, "align": "fixed"})
    sized = sized_options(tmp_path / "out", "no such file", options)
    assert sized.shape == {**PRESETS[preset], "hidden_size": 96, "align": "fixed"}
    assert sized_options(tmp_path / "out", "no such file", sized) == sized


def test_the_machine_decides_where_nobody_does_and_it_is_said(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr("mixlm.encoding.options.ROWS_OF_PAPER", 7)
    said: list[str] = []
    sized = sized_options(tmp_path / "out", str(write_raw(tmp_path, 8)), AUTO, said.append)
    assert sized.shape == PRESETS["paper"]
    assert said == [
        "preset    paper: 1024 codes, 512 wide, 2 layers each; --preset small takes 256 codes, 128 wide, 1 layer each"
    ]
    all_given = replace(AUTO, shape=dict(PRESETS["small"]))
    sized_options(tmp_path / "out", str(write_raw(tmp_path, 8)), all_given, said.append)
    assert len(said) == 1  # nothing was left to decide


@pytest.mark.parametrize("before", ["small", "few"])
def test_what_has_begun_goes_on_with_its_sizes_on_another_machine(tmp_path: Path, monkeypatch, before: str) -> None:
    out, traces = tmp_path / "out", str(write_raw(tmp_path, 8))
    sizes = {"small": PRESETS["small"], "few": {**PRESETS["small"], "codebook_size": 4}}
    arguments = describe_arguments(traces, "m", EncodingOptions(shape=dict(sizes[before])))
    out.mkdir()
    write_manifest(out, whole_manifest(arguments=arguments))
    (out / "train-00000.parquet").touch()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr("mixlm.encoding.options.ROWS_OF_PAPER", 1)
    again = sized_options(out, traces, AUTO)
    assert again.shape == sizes[before]
    assert earlier_manifest(out, describe_arguments(traces, "m", again))["arguments"] == arguments


def test_a_preset_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InputError, match="--preset huge: not known; give small, paper or auto"):
        EncodingOptions(preset="huge")
