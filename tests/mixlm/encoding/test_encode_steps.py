"""Encoding whose chunks end with steps and whose codes predict, and a power cut in each part of it."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from mixlm.encoding.dataset import open_vqvae
from mixlm.encoding.manifest import read_manifest
from tests.encoding_work import CODES, SHAPE, Work, cut, tables
from tests.interruption import Interrupted
from vqvae import PredictiveVQVAE


PREDICTIVE = {**SHAPE, "objective": "predictive", "align": "step", "chunk_length": None, "compression_rate": None}


@pytest.fixture(scope="module", autouse=True)
def merging():
    """Codes that seem to save much, as those of so short a training do not: then they are merged."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("vqvae.training.merge._HeldOut.loss_without", lambda _: 1e3)
        yield


@pytest.fixture(scope="module")
def predictive(work: Work, merging):
    return work.encode("predictive", shape=PREDICTIVE)


def test_every_step_has_a_code_of_a_merged_codebook(predictive) -> None:
    """One longer than all that were trained on has two."""
    manifest, model = read_manifest(predictive), open_vqvae(predictive / "vqvae")
    rows = [row for table in tables(predictive).values() for row in table]
    seen = [row for name, table in tables(predictive).items() if name.startswith("train") for row in table]
    longest = max(length for row in seen for length in row["step_lengths"])
    assert type(model) is PredictiveVQVAE and model.config.chunk_length == longest == manifest["chunk_length"]
    for row in rows:
        ends = np.cumsum([0, *row["step_lengths"]]).tolist()
        own = [min(start + longest, end) for start, end in pairwise(ends)]
        assert row["code_ends"] == sorted({*own, *ends[1:]}) and len(row["codes"]) == len(row["code_ends"])
        alone = model.encode(torch.tensor([row["trace_ids"]]), None, [row["step_lengths"]])
        assert alone[0].tolist() == row["codes"]
    figures, held_out = manifest["codebook"], len(rows) - len(seen)
    assert figures["merged_on"] == {"valid": held_out, "train": len(seen)}  # too few to have each code twice
    assert figures["codes_trained"] == CODES == model.config.trained_codes
    assert figures["codes_merged"] == manifest["codebook_size"] == model.config.codebook_size < CODES
    assert max(code for row in rows for code in row["codes"]) < model.config.codebook_size


@pytest.mark.parametrize(
    ("part", "step"), [("training the VQ-VAE", 5), ("training the VQ-VAE", 8), ("probing the codes", 1)]
)
def test_an_interrupted_one_goes_on_and_gives_the_same_bits(fresh: Work, predictive, part: str, step: int) -> None:
    """Cut in training, before codes are merged, and after they were."""
    with pytest.raises(Interrupted):
        fresh.encode("predictive", advance_of=cut(part, step), shape=PREDICTIVE)
    out = fresh.encode("predictive", shape=PREDICTIVE)
    assert tables(out) == tables(predictive)
    assert read_manifest(out)["codebook"] == read_manifest(predictive)["codebook"]
    one, other = (open_vqvae(path / "vqvae").state_dict() for path in (out, predictive))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_merged_model_that_is_given_tells_both_counts(work: Work, predictive) -> None:
    out = work.encode("given-merged", vqvae=str(predictive / "vqvae"), shape={})
    assert tables(out) == tables(predictive)
    given, own = (read_manifest(path)["codebook"] for path in (out, predictive))
    assert all(given[name] == own[name] for name in ("codes_trained", "codes_merged"))
