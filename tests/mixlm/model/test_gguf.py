import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlm.model.loading import open_model
from mixlm.model.tokenizers import build_tokenizer, open_tokenizer
from mixlm.run import load_run
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.tiny_data import raw_rows, write_raw


gguf = pytest.importorskip("gguf")
WIDTH = 32


def write_gguf(file: Path) -> dict[str, np.ndarray]:
    """Write a random Llama of one layer, of 8-bit weights, with a byte-level tokenizer; returns its matrices."""
    parts = json.loads(build_tokenizer([row["question"] for row in raw_rows(9)], 280).backend_tokenizer.to_str())
    tokens = sorted(parts["model"]["vocab"], key=parts["model"]["vocab"].get)
    writer = gguf.GGUFWriter(file, "llama")
    for name, value in {
        "context_length": 64,
        "embedding_length": WIDTH,
        "block_count": 1,
        "feed_forward_length": 2 * WIDTH,
        "head_count": 2,
        "head_count_kv": 2,
        "layer_norm_rms_eps": 1e-5,
        "tokenizer_model": "gpt2",
        "token_list": tokens,
        "token_types": [gguf.TokenType.NORMAL] * len(tokens),
        "token_merges": [" ".join(pair) for pair in parts["model"]["merges"]],
        "eos_token_id": 0,
    }.items():
        getattr(writer, f"add_{name}")(value)
    square, wide, ones = (WIDTH, WIDTH), (2 * WIDTH, WIDTH), np.ones(WIDTH, np.float32)
    block = {"attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square}
    block |= {"ffn_gate": wide, "ffn_up": wide, "ffn_down": wide[::-1]}
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH)}
    shapes |= {f"blk.0.{name}": shape for name, shape in block.items()}
    rng, kind, matrices = np.random.default_rng(0), gguf.GGMLQuantizationType.Q8_0, {}
    for name, shape in shapes.items():
        packed = gguf.quants.quantize(rng.normal(size=shape).astype(np.float32), kind)
        matrices[name] = gguf.quants.dequantize(packed, kind)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", ones)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return matrices


def test_a_gguf_file_is_a_model_of_plain_weights_that_trains_and_opens_again(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    matrices = write_gguf(file)
    tokenizer = open_tokenizer(str(file))
    lm = open_model(str(file), tokenizer)
    assert getattr(lm, "hf_quantizer", None) is None and {one.dtype for one in lm.parameters()} == {torch.float32}
    state = lm.state_dict()
    for ours, theirs in (("model.embed_tokens", "token_embd"), ("model.layers.0.mlp.down_proj", "blk.0.ffn_down")):
        assert torch.equal(state[f"{ours}.weight"], torch.from_numpy(matrices[theirs]))
    options = TrainingOptions("cot", steps=1, batch_size=4)
    train(write_raw(tmp_path, 8), file, tmp_path / "run", options)
    run = load_run(tmp_path / "run")
    assert len(run.tokenizer()) == len(tokenizer) and run.load_model().num_parameters() == lm.num_parameters()
