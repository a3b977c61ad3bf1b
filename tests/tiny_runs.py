"""Tiny random models with a vocabulary of words and latents, shared by the tests of generation and evaluation."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mixlm.data.samples import Sample
from mixlm.data.tables import row_table
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding.manifest import write_manifest
from mixlm.encoding.shard_files import write_shard
from mixlm.methods import METHODS
from mixlm.model.special_tokens import PAUSE, SpecialIds, add_project_tokens, latent_span, special_ids
from mixlm.model.tokenizers import build_tokenizer, tokenizer_fingerprint
from mixlm.run import Run
from tests.coded_rows import coded
from tests.manifests import whole_manifest
from vqvae import ChunkVQVAE, ChunkVQVAEConfig
from vqvae.options import PAPERS_CODES


CODES = 5
SPARE_ROWS = 7
WORDS = ["<eos>", "a", "b", "c", "d", "e", "f", "g", "#", "###", "0", "1", "2", "3", "4", "5"]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A word tokenizer whose padding is its end of sequence, with two delimiters, five latents and a pause."""
    words = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="a"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<eos>")
    add_project_tokens(tokenizer, [*latent_span(CODES), PAUSE])
    return tokenizer


def tiny_model(family: str, seed: int = 0, context: int = 64, rows: int = 0):
    """A random causal LM in float64, so that equal computations in another order give equal argmaxes.

    Its output matrix has rows beyond the vocabulary, and is wide enough that greedy answers vary.
    """
    torch.manual_seed(seed)
    rows = rows or len(tiny_tokenizer()) + SPARE_ROWS
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    if family == "gpt2":
        shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": context, "initializer_range": 0.5}
        model = GPT2LMHeadModel(GPT2Config(vocab_size=rows, **shape, **ids))
    else:
        shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = LlamaConfig(
            vocab_size=rows,
            max_position_embeddings=context,
            initializer_range=0.5,
            **shape,
            **ids,
            tie_word_embeddings=False,
        )
        model = LlamaForCausalLM(config)
    return model.double().eval()


def tiny_run(method: str = "assorted", path: Path = Path("run"), ids: SpecialIds | None = None) -> Run:
    """A run in memory; nothing lies at its path."""
    ids = ids or special_ids(tiny_tokenizer())
    codes = {"chunk_length": 2, "compression_rate": 2, "codebook_size": CODES} if method == "assorted" else {}
    return Run(path=path, method_name=method, template=Template(), ids=ids, **codes)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of real text, with two delimiters and five latents."""
    tokenizer = build_tokenizer(["1 + 2 = 3\n### 3", "4 + 5 = 9\n### 9"], vocab_size=280)
    add_project_tokens(tokenizer, latent_span(CODES))
    return tokenizer


def tiny_vqvae(token_ids: list[int], codes_per_chunk: int = 1) -> ChunkVQVAE:
    """A random stage-1 model for chunks of two tokens out of ``token_ids``."""
    torch.manual_seed(0)
    config = ChunkVQVAEConfig(
        **PAPERS_CODES,
        chunk_length=2,
        compression_rate=2 // codes_per_chunk,
        codebook_size=CODES,
        code_dim=4,
        hidden_size=8,
        num_layers=1,
        num_heads=2,
        max_prompt_length=6,
        warmup_steps=0,
        kmeans=False,
        compact_size=len(token_ids) + 1,
    )
    return ChunkVQVAE(config, token_ids).eval()


def saved_run(path: Path, method: str = "assorted") -> Run:
    """A finished run on disk: a random Llama with a byte-level tokenizer, and stage 1 beside it."""
    tokenizer = byte_tokenizer()
    add_project_tokens(tokenizer, METHODS[method]().tokens(CODES))
    run = tiny_run(method, path, special_ids(tokenizer))
    run.fingerprint = tokenizer_fingerprint(tokenizer)
    path.mkdir(parents=True)
    tiny_model("llama", rows=len(tokenizer) + SPARE_ROWS).float().save_pretrained(path)
    tokenizer.save_pretrained(path)
    if method == "assorted":
        tiny_vqvae(sorted(set(tokenizer("1 + 2 = 3")["input_ids"]))).save_pretrained(path / "vqvae")
    run.save()
    return run


def write_encoded_for(path: Path, tokenizer: PreTrainedTokenizerFast, train: int, valid: int) -> Path:
    """An encoded dataset of sums, with codes that nothing learned; returns its folder."""
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(path / "tokenizer")
    shards = {}
    for split, count in (("train", train), ("valid", valid)):
        samples = [Sample(f"{i} + 1?", (f"{i} + 1 = {i + 1}",), str(i + 1)) for i in range(count)]
        rows = tokenize_samples(tokenizer, Template(), samples)
        rows = [coded(row, [row["row"] % CODES] * (len(row["trace_ids"]) // 2)) for row in rows]
        shards[split] = [f"{split}-00000.parquet"] if rows else []
        if rows:
            write_shard(path / shards[split][0], row_table(rows, list(rows[0])))
    shape = {"chunk_length": 2, "compression_rate": 2, "codebook_size": CODES}
    write_manifest(path, whole_manifest(fingerprint=tokenizer_fingerprint(tokenizer), **shape, shards=shards))
    return path
