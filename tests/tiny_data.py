"""A tiny encoded dataset and base models for tests of training, made without training stage 1."""

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from mixlm.data.samples import to_sample
from mixlm.data.tables import row_table
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding.manifest import write_manifest
from mixlm.encoding.shard_files import write_shard
from mixlm.model.tokenizers import build_tokenizer, tokenizer_fingerprint
from tests.manifests import whole_manifest
from vqvae import Cutting


CODEBOOK, RATE = 4, 2
CUTTING = Cutting("fixed", RATE, RATE)
SCRATCH = "model_type: llama\nhidden_size: 32\nintermediate_size: 64\nnum_hidden_layers: 2\nnum_attention_heads: 2\n"
SCRATCH += "max_position_embeddings: 128\ntokenizer: {vocab_size: 300}\n"


def raw_rows(count: int, seed: int = 0) -> list[dict]:
    """Sums of two digits, with one step or two."""
    rng = np.random.default_rng(seed)
    pairs = rng.integers(10, size=(count, 2)).tolist()
    more = ["so it is"]
    return [
        {
            "question": f"{a} + {b} ?",
            "steps": [f"{a} and {b} make {a + b}", *(more if a > 7 else [])],
            "answer": str(a + b),
        }
        for a, b in pairs
    ]


def write_raw(folder: Path, count: int = 40) -> Path:
    """Write raw rows to ``raw.jsonl``."""
    path = folder / "raw.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in raw_rows(count)))
    return path


def write_scratch(folder: Path) -> Path:
    """Write the YAML of a model from scratch."""
    path = folder / "model.yaml"
    path.write_text(SCRATCH)
    return path


def write_encoded(folder: Path, count: int = 40, valid: int = 8, cutting: Cutting = CUTTING) -> Path:
    """Write an encoded dataset whose code is a function of the chunk, with an empty folder for the VQ-VAE."""
    path = folder / "encoded"
    (path / "vqvae").mkdir(parents=True)
    rows = raw_rows(count + valid)
    template = Template()
    tokenizer = build_tokenizer(["".join(template.render(to_sample(row))) for row in rows], 300)
    tokenizer.save_pretrained(path / "tokenizer")
    tokenized = tokenize_samples(tokenizer, template, map(to_sample, rows))
    for row in tokenized:
        trace = row["trace_ids"]
        row["code_ends"] = cutting.ends(cutting.stretches(row)).tolist()
        places = pairwise([0, *row["code_ends"]])
        row["codes"] = [sum(trace[start:end]) % CODEBOOK for start, end in places]
    shards = {"train": tokenized[:count], "valid": tokenized[count:]}
    for split, part in shards.items():
        write_shard(path / f"{split}-00000.parquet", row_table(part, list(tokenized[0])))
    manifest = whole_manifest(
        fingerprint=tokenizer_fingerprint(tokenizer),
        template=template.to_dict(),
        **asdict(cutting),
        codebook_size=CODEBOOK,
        shards={split: [f"{split}-00000.parquet"] for split in shards},
    )
    write_manifest(path, manifest)
    return path
