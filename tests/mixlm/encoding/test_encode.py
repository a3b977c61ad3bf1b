import json
import subprocess
from collections import Counter

import pytest
import torch

from mixlm.data.template import Template
from mixlm.encoding import encode as encoding
from mixlm.encoding import measuring
from mixlm.encoding.dataset import load_encoded, open_vqvae
from mixlm.encoding.encode import WRITTEN_BEHIND
from mixlm.encoding.manifest import TOKENS, read_manifest
from mixlm.encoding.shard_files import is_noted
from mixlm.errors import InputError
from mixlm.model.special_tokens import add_project_tokens, latent_span
from mixlm.model.tokenizers import open_tokenizer, tokenizer_fingerprint
from tests.encoding_work import CODES, LENGTH, RATE, Work, contents, cut, tables
from tests.interruption import Interrupted
from tests.launching import launch
from tests.tiny_data import raw_rows


NUMBER_OF_FILES = {"train": 5, "valid": 1}
PROGRAM = """
import os, signal, sys, time
from dataclasses import replace
from pathlib import Path
from mixlm.encoding import encode as encoding
from mixlm.encoding.manifest import TOKENS
from mixlm.encoding.shard_files import is_noted
from tests.encoding_work import OPTIONS

def die(*shard):  # the launcher ends the other process, too, which is to have noted a shard
    while not any(is_noted(file, Path(out) / TOKENS) for file in Path(out).glob("*.parquet")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("DIES") == os.environ["RANK"]:
    encoding.write_shard = die
traces, model, out = sys.argv[1:]
encoding.encode_dataset(traces, model, out, replace(OPTIONS, vqvae=os.environ.get("VQVAE")))
"""


def assert_equal_results(one, other) -> None:
    weights = [open_vqvae(path / "vqvae").state_dict() for path in (one, other)]
    assert tables(one) == tables(other) and len(tables(one)) == sum(NUMBER_OF_FILES.values())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0] | weights[1])
    assert (one / "vqvae" / "usage.json").read_text() == (other / "vqvae" / "usage.json").read_text()
    folders = {"arguments": None, "model": None}
    assert {**read_manifest(one), **folders} == {**read_manifest(other), **folders}


def test_the_manifest_says_what_the_data_is(work, encoded):
    manifest, data = read_manifest(encoded), load_encoded(encoded)
    expected = {"chunk_length": LENGTH, "compression_rate": RATE, "codebook_size": CODES, "complete": True}
    assert {name: manifest[name] for name in expected} == expected
    assert manifest["format_version"] == 1 and manifest["dtype"] == "float32" and manifest["check"] == "exact"
    assert manifest["model"] == str(work.model) and manifest["template"] == Template().to_dict()
    assert manifest["arguments"]["traces"] == str(work.traces) and manifest["arguments"]["shard_rows"] == 9
    names = {split: [f"{split}-{i:05d}.parquet" for i in range(count)] for split, count in NUMBER_OF_FILES.items()}
    assert manifest["shards"] == names
    for split, rows, samples in (("train", data.train, 32), ("valid", data.valid, 8)):
        lengths = [len(trace) for trace in rows["trace_ids"]]
        chunks = sum(length // LENGTH for length in lengths)
        assert manifest["counts"][split] == {
            "samples": samples,
            "skipped_rows": 0,
            "trace_tokens": sum(lengths),
            "chunks": chunks,
            "codes": chunks * (LENGTH // RATE),
            "empty_traces": 0,
            "short_traces": 0,
            "steps": sum(length > 0 for row in rows for length in row["step_lengths"]),
            "long_steps": sum(length > LENGTH for row in rows for length in row["step_lengths"]),
            "longest": max(sum(len(row[f"{part}_ids"]) for part in ("prompt", "trace", "solution")) for row in rows),
        }
    figures = manifest["codebook"]
    assert figures["chunks"] == manifest["counts"]["valid"]["chunks"] and figures["measured_on"] == "valid"
    assert figures["codebook_size"] == CODES
    assert figures["code_gap"] == min(figures["ce_none"], figures["ce_unigram"]) - figures["ce_right"]


def test_codes_stand_for_the_chunks_of_a_trace_and_the_tail_stays_text(encoded):
    data, vqvae = load_encoded(encoded), open_vqvae(encoded / "vqvae")
    for row in [*data.train, *data.valid]:
        trace = row["trace_ids"]
        assert len(row["codes"]) == len(trace) // LENGTH * (LENGTH // RATE)
        assert row["codes"] == vqvae.encode(torch.tensor([trace]))[0].tolist()
        assert sum(row["step_lengths"]) == len(trace)
    assert len({code for codes in data.train["codes"] for code in codes}) > 1


def test_rows_decode_to_the_samples_and_keep_their_own_columns(work, encoded):
    tokenizer = open_tokenizer(str(encoded / "tokenizer"))
    originals = [json.loads(line) for line in work.traces.read_text().splitlines()]
    rows = [*load_encoded(encoded).train, *load_encoded(encoded).valid]
    assert sorted(int(row["id"]) for row in rows) == list(range(40))
    for row in rows:
        original = originals[int(row["id"])]
        text = "\n".join([original["question"], *original["steps"], f"### {original['answer']}"])
        ids = row["prompt_ids"] + row["trace_ids"] + row["solution_ids"]
        assert tokenizer.decode(ids) == text + tokenizer.eos_token
        assert (row["question"], row["answer"]) == (original["question"], original["answer"])


def test_the_dictionary_of_codes_counts_every_code_of_the_training_traces(encoded):
    usage = json.loads((encoded / "vqvae" / "usage.json").read_text())
    tokenizer, train = open_tokenizer(str(encoded / "tokenizer")), load_encoded(encoded).train
    expected: dict[str, Counter] = {}
    for row in train:
        for place, code in enumerate(row["codes"]):
            text = tokenizer.decode(row["trace_ids"][place * RATE : (place + 1) * RATE])
            expected.setdefault(str(code), Counter())[text] += 1
    assert usage["totals"] == {code: counts.total() for code, counts in expected.items()}
    for code, chunks in usage["chunks"].items():
        assert [count for _, count in chunks] == sorted(expected[code].values(), reverse=True)[:5]
        assert all(expected[code][text] == count for text, count in chunks)


def test_nothing_is_left_over(encoded):
    names = {str(path.relative_to(encoded)) for path in encoded.rglob("*") if path.is_file()}
    shards = {name for names in read_manifest(encoded)["shards"].values() for name in names}
    tokenizer = {"tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"}
    vqvae = {"vqvae/config.json", "vqvae/curve.jsonl", "vqvae/model.safetensors", "vqvae/usage.json"}
    assert {name for name in names if not name.startswith(".cache")} == {"manifest.json", *shards, *tokenizer, *vqvae}


@pytest.mark.parametrize(
    ("part", "step", "shards"),
    [
        ("training the VQ-VAE", 1, 0),
        ("training the VQ-VAE", 3, 0),
        ("training the VQ-VAE", 5, 0),
        ("training the VQ-VAE", 8, 0),
        ("reading", 1, 0),
        ("encoding train", 1, 1),
        ("encoding train", 32, 5),
        ("encoding valid", 8, 6),
    ],
)
def test_an_interrupted_encoding_goes_on_and_gives_the_same_bits(fresh, encoded, part, step, shards):
    with pytest.raises(Interrupted):
        fresh.encode(advance_of=cut(part, step))
    out = fresh.folder / "encoded"
    assert shards <= len(tables(out)) <= shards + WRITTEN_BEHIND + 1 and (shards or not tables(out))
    with pytest.raises(InputError, match="has not finished|no encoded dataset"):
        load_encoded(out)
    written = {path: values for path, values in contents(out).items() if path.endswith(".parquet")}
    fresh.encode()
    assert written.items() <= contents(out).items()
    assert_equal_results(encoded, out)


def test_training_goes_on_from_its_last_checkpoint(fresh):
    steps = []

    def record(part: str):
        return lambda now, *rest: steps.append(now) if part == "training the VQ-VAE" else None

    with pytest.raises(Interrupted):
        fresh.encode(advance_of=cut("training the VQ-VAE", 6))
    fresh.encode(advance_of=record)
    assert steps == [5, 6, 7, 8]  # a checkpoint every two steps; that of step 6 was not yet written


@pytest.mark.parametrize("function", ["write_shard", "evaluate_vqvae", "write_usage", "save_base_tokenizer"])
def test_a_failure_at_any_part_is_made_good_by_the_same_call(fresh, encoded, monkeypatch, function):
    calls = []

    def fail(*args, **options):
        calls.append(1)
        if function == "write_shard":
            args[0].with_name(f".{args[0].name}.77.tmp").write_bytes(b"half")
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(measuring if function == "evaluate_vqvae" else encoding, function, fail)
        with pytest.raises(Interrupted):
            fresh.encode()
    assert 1 <= len(calls) <= (WRITTEN_BEHIND + 1 if function == "write_shard" else 1)
    out = fresh.encode()
    assert_equal_results(encoded, out)
    assert not [path for path in out.iterdir() if path.suffix == ".tmp"]


def test_a_finished_encoding_says_so_and_does_nothing(work, encoded):
    before, said = contents(encoded), []
    work.encode(say=said.append)
    assert contents(encoded) == before
    assert said == [f"{encoded}: already encoded; nothing to do"]


def test_a_trained_model_can_be_given(work, encoded):
    out = work.encode("given", vqvae=str(encoded / "vqvae"), shape={})
    assert tables(out) == tables(encoded)
    manifests = [read_manifest(path) for path in (out, encoded)]
    for name in ("counts", "align", "chunk_length", "compression_rate", "codebook_size", "fingerprint"):
        assert manifests[0][name] == manifests[1][name]
    given, trained = (manifest["codebook"] for manifest in manifests)
    assert given == {name: trained[name] for name in given}
    assert {name[:5] for name in trained.keys() - given.keys()} == {"next_", "solut", "prior", "probe"}


def test_quality_is_measured_on_training_traces_where_no_other_has_a_chunk(fresh):
    none = fresh.encode("none", valid_fraction=0.0)
    short = fresh.folder / "short.jsonl"
    short.write_text('{"question": "1 + 2 ?", "steps": ["1"], "answer": "3"}\n')
    with_short = fresh.encode("short", valid=str(short))
    for path, samples in ((none, 0), (with_short, 1)):
        manifest = read_manifest(path)
        assert manifest["codebook"]["measured_on"] == "train" and manifest["counts"]["valid"]["samples"] == samples
        assert manifest["codebook"]["chunks"] == manifest["counts"]["train"]["chunks"]
    assert load_encoded(none).valid is None and len(load_encoded(with_short).valid) == 1


@pytest.mark.parametrize("split", ["valid", "train"])
def test_quality_is_measured_on_the_first_rows_alone(fresh, encoded, monkeypatch, split):
    monkeypatch.setattr("mixlm.encoding.measuring.MEASURED", 3)
    share = 0.2 if split == "valid" else 0.0
    out = fresh.encode("few", vqvae=str(encoded / "vqvae"), model=encoded / "tokenizer", valid_fraction=share)
    first = getattr(load_encoded(out), split)["trace_ids"][:3]
    figures = read_manifest(out)["codebook"]
    assert figures["chunks"] == sum(len(trace) // LENGTH for trace in first) and figures["measured_on"] == split


def test_empty_traces_are_kept_and_counted(tmp_path):
    empty = {"question": "1 + 2 ?", "steps": [], "answer": "3"}
    out = Work(tmp_path, [empty, *raw_rows(20), empty]).encode(valid_fraction=0.0)
    rows = load_encoded(out).train
    assert read_manifest(out)["counts"]["train"]["empty_traces"] == 2
    for row in (rows[0], rows[-1]):
        assert row["trace_ids"] == row["codes"] == row["step_lengths"] == [] and row["prompt_ids"]


def test_a_run_can_be_the_model_and_gives_the_base_tokenizer(fresh, encoded):
    tokenizer = open_tokenizer(str(encoded / "tokenizer"))
    expected = tokenizer_fingerprint(tokenizer)
    add_project_tokens(tokenizer, latent_span(CODES))
    fresh.model = fresh.folder / "run"
    tokenizer.save_pretrained(fresh.model)
    out = fresh.encode(vqvae=str(encoded / "vqvae"))
    assert tables(out) == tables(encoded)
    assert read_manifest(out)["fingerprint"] == expected
    base = open_tokenizer(str(out / "tokenizer"))
    assert len(base) == len(tokenizer) - len(latent_span(CODES))


def test_a_half_precision_encoder_writes_codes_of_the_same_codebook(fresh, encoded):
    out = fresh.encode(vqvae=str(encoded / "vqvae"), dtype="bfloat16")
    assert read_manifest(out)["dtype"] == "bfloat16"
    pairs = zip(load_encoded(out).train["codes"], load_encoded(encoded).train["codes"], strict=True)
    equal = [one == other for codes in pairs for one, other in zip(*codes, strict=True)]
    assert sum(equal) > len(equal) / 2


def encode_in_two(warm, work, out: str, **environment: str) -> subprocess.CompletedProcess:
    """Encode by the program above in two processes."""
    arguments = [str(work.traces), str(work.model), str(work.folder / out)]
    return launch(warm, work.folder, PROGRAM, arguments, **environment)


def test_two_processes_train_and_write_one_dataset(fresh, warm):
    done = encode_in_two(warm, fresh, "encoded")
    assert done.returncode == 0, done.stderr[-2000:]
    out = fresh.folder / "encoded"
    before, said = contents(out), []
    fresh.encode(say=said.append)
    assert said == [f"{out}: already encoded; nothing to do"] and contents(out) == before
    vqvae = open_vqvae(out / "vqvae")
    for row in [*load_encoded(out).train, *load_encoded(out).valid]:
        assert row["codes"] == vqvae.encode(torch.tensor([row["trace_ids"]]))[0].tolist()


def test_shards_of_two_processes_are_those_of_one_also_after_one_has_died(fresh, encoded, warm):
    """Each writes every other shard; a process that is killed leaves what one more call completes."""
    done = encode_in_two(warm, fresh, "both", VQVAE=str(encoded / "vqvae"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert tables(fresh.folder / "both") == tables(encoded)
    done = encode_in_two(warm, fresh, "one", VQVAE=str(encoded / "vqvae"), DIES="1")
    assert done.returncode != 0 and not read_manifest(fresh.folder / "one")["complete"]
    folder = fresh.folder / "one"
    noted = [str(shard) for shard in folder.glob("*.parquet") if is_noted(shard, folder / TOKENS)]
    written = contents(folder)  # of a shard that its process had no time to note nothing is known: it is written again
    out = fresh.encode("one", vqvae=str(encoded / "vqvae"))
    assert tables(out) == tables(encoded) and read_manifest(out)["complete"]
    assert noted and all(contents(out)[path] == written[path] for path in noted)


@pytest.mark.parametrize("name", ["train-00001.parquet", "train-00001.parquet.sha256"])
def test_a_shard_that_was_damaged_during_an_interruption_is_written_again(fresh, encoded, name):
    with pytest.raises(Interrupted):
        fresh.encode(advance_of=cut("encoding train", 27))
    out = fresh.folder / "encoded"
    (file,) = out.rglob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert_equal_results(fresh.encode(), encoded)


def test_a_codebook_that_was_damaged_during_an_interruption_is_told(fresh):
    with pytest.raises(Interrupted):
        fresh.encode(advance_of=cut("encoding train", 9))
    weights = fresh.folder / "encoded" / "vqvae" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert f"{weights}: changed since" in fresh.refuses()
