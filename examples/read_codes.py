"""Read codes back: which code each step of a trace became, and what it says beside the question.

    python examples/read_codes.py ENCODED [ROWS]

ENCODED is a folder of ``mixlm-encode``. The decoder sees the code and the prompt, never the step itself.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer

from mixlm import load_encoded
from vqvae import ChunkVQVAE, PredictiveVQVAE


def main(folder: str | Path, rows: int = 3) -> int:
    """Print a line for each code of some training rows; returns how many were read back without an error."""
    data = load_encoded(folder)
    kind = ChunkVQVAE if data.manifest["objective"] == "reconstruction" else PredictiveVQVAE
    vqvae = kind.from_pretrained(Path(folder) / "vqvae").eval()
    tokenizer = AutoTokenizer.from_pretrained(Path(folder) / "tokenizer")
    exact = 0
    for row in data.train.select(range(min(rows, len(data.train)))):
        print(tokenizer.decode(row["prompt_ids"]).strip())
        codes, prompt = torch.tensor([row["codes"]]), torch.tensor([row["prompt_ids"]])
        read = vqvae.decode(codes, prompt).view(len(row["codes"]), -1)  # a line of ids for each code
        ends = row["code_ends"]
        for code, ids, begin, end in zip(row["codes"], read, [0, *ends[:-1]], ends, strict=True):
            said, step = tokenizer.decode(ids[ids >= 0]), tokenizer.decode(row["trace_ids"][begin:end])
            print(f"  code {code}: {step!r} is read as {said!r}")
            exact += said == step
    return exact


if __name__ == "__main__":
    print("without an error:", main(sys.argv[1], *map(int, sys.argv[2:3])))
