"""YAML that is odd: options of a command, grids, recipes, models from scratch."""

import random
from collections.abc import Iterator

from tests.faults.tries import CONVERT, OUT, Try, flipped
from tests.tiny_data import SCRATCH


Refused, Fine, Either = "refused", "fine", "either"
GRID = b"""\
data: {train: raw.jsonl, valid: raw.jsonl, test: raw.jsonl}
model: model.yaml
train: {steps: 2, batch-size: 4}
methods:
  cot: {}
  pause: {options: {count: 2}}
seeds: [0, 1]
"""
CONFIG = b"answer-pattern: '(\\d+)'\nskip-bad-rows: true\n"
RECIPE = b"rows: {train: 2}\ndata: {}\nmodel: {}\ntemplate: {}\nencode: {}\ntrain: {}\n"
MODEL = SCRATCH.encode()
LAUGHS = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)
)
ODD: dict[str, bytes] = {  # whatever is to be read from it
    "a list": b"[a, b]\n",
    "a text": b"text\n",
    "a number": b"7\n",
    "a tab": b"a:\n\tb: 1\n",
    "a bracket": b"{a: [1, 2\n",
    "a colon": b"a: b: c\n",
    "brackets": b"a: " + b"[" * 50_000 + b"]" * 50_000,
    "fewer brackets": b"a: " + b"[" * 300 + b"]" * 300,
    "brackets without end": b"[" * 100_000,
    "braces": b"{a: " * 50_000,
    "deep blocks": b"\n".join(b" " * n + b"a:" for n in range(1300)),
    "deep dashes": b"- " * 20_000,
    "question marks": b"? " * 20_000,
    "a loop": b"a: &a [*a]\n",
    "a loop of names": b"a: &a {b: *a}\n",
    "a loop at the top": b"&a [*a]\n",
    "a loop of merges": b"a: &a {<<: *a}\n",
    "laughs": LAUGHS,
    "laughs of merges": b"a0: &a0 {x: 1}\n"
    + b"".join(b"a%d: &a%d {<<: [%s]}\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)),
    "no anchor": b"a: *nothing\n",
    "a Python object": b"a: !!python/object/apply:os.system ['true']\n",
    "a Python name": b"!!python/name:os.system\n",
    "a tag": b"a: !secret 7\n",
    "a set": b"a: !!set {b, c}\n",
    "pairs": b"a: !!omap [b: 1]\n",
    "a key that is a list": b"? [a]\n: 1\n",
    "a key that is a mapping": b"{{a: 1}: 2}\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "NUL": b"a: \x00\n",
    "an escape": b'a: "\\x00\\x07"\n',
    "half of a character": b'a: "\\ud800"\n',
    "a name with half of a character": b'"\\udfff": 1\n',
    "an escape too large": b'a: "\\UFFFFFFFF"\n',
    "UTF-16": "a: 1\n".encode("utf-16"),
    "no UTF-8": b"a: \xff\n",
    "digits": b"a: " + b"7" * 5000 + b"\n",
    "a name of digits": b"7" * 5000 + b": a\n",
    "sixties": b"a: " + b"1:" + b"59:" * 3000 + b"59\n",
    "a date": b"a: 2024-01-01\n",
    "a date that is none": b"a: 2024-13-45\n",
    "a time that is none": b"a: 2024-01-01T99:99:99Z\n",
    "binary": b"a: !!binary aGVsbG8=\n",
    "binary that is none": b"a: !!binary =\n",
    "an integer that is none": b"a: !!int x\n",
    "a number that is none": b"a: !!float x\n",
    "a truth that is none": b"a: !!bool x\n",
    "a time of a tag": b"a: !!timestamp x\n",
    "keys": b"1: a\nnull: b\ntrue: c\n1.5: d\n",
    "a directive": b"%YAML 9.9\n---\na: 1\n",
    "a long text": b"a: " + b"x" * 3_000_000 + b"\n",
    "many keys": b"".join(b"k%d: 1\n" % n for n in range(30_000)),
}
OF_MAPPINGS = {  # beside what is right
    "a name twice": lambda text, name: text + text.splitlines(keepends=True)[0],
    "a byte order mark": lambda text, name: b"\xef\xbb\xbf" + text,
    "CR": lambda text, name: text.replace(b"\n", b"\r"),
    "an unknown name": lambda text, name: text + b"unknown: 1\n",
    "a name that is null": lambda text, name: text + b"~: 1\n",
    "a name that is a number": lambda text, name: text + b"7: 1\n",
}
TRAIN = ("train", "raw.jsonl", "--method", "cot", "--steps", "1", "--batch-size", "4", "--model", "f.yaml", *OUT)
USES = {  # the file, what is right of it, and the call
    "config": ("f.yaml", CONFIG, (*CONVERT, "raw.jsonl", "--config", "f.yaml", *OUT)),
    "grid": ("f.yaml", GRID, ("compare", "f.yaml", "--no-run", "--out", "grid")),
    "model": (
        "f.yaml",
        MODEL,
        TRAIN,
    ),
    "recipe": ("f.yaml", RECIPE, ("demo", "--recipe", "f.yaml", "--out", "demo")),
}
VALUES = ("null", "true", "-1", "0", "1.5", ".inf", ".nan", "text", "''", "[1]", "{a: 1}", "2024-01-01", "9" * 5000)
VALUES += ("1e400", "[[[]]]", '"\\ud800"', "10000000000000000000000", "-0.0", "!!binary aGk=", "'0x10'", "*unknown")


def yaml_tries() -> Iterator[Try]:
    """Yield a call for every kind of YAML, and every use of it."""
    for use, (name, right, command) in USES.items():
        for kind, content in ODD.items():
            yield Try(f"{use}: {kind}", {name: content}, command, Refused)
        for kind, content in (("empty", b""), ("a comment", b"# nothing\n")):
            yield Try(f"{use}: {kind}", {name: content}, command, Fine if use == "config" else Refused)
        for kind, change in OF_MAPPINGS.items():
            fine = kind in ("a byte order mark", "CR") and use != "recipe"
            yield Try(f"{use}: {kind}", {name: change(right, name)}, command, Fine if fine else Refused)
        for kind in ("laughs", "a loop", "brackets", "a Python object", "digits"):  # within a known place
            inner = b"\n".join(b"  " + line for line in ODD[kind].splitlines())
            first = right.partition(b":")[0]
            yield Try(f"{use}, within: {kind}", {name: first + b":\n" + inner + b"\n"}, command, Refused)
    yield from _grid_values()
    yield from _model_values()


def _grid_values() -> Iterator[Try]:
    name, right, command = USES["grid"]
    for path in (b"data: ", b"train: raw", b"model: ", b"steps: ", b"cot: ", b"options: ", b"count: ", b"seeds: "):
        start, found, rest = right.partition(path)
        place = path.partition(b": ")[0] + b": "
        end = min(at for at in (rest.find(b"\n"), *([rest.find(b",")] if b"raw" in path else [])) if at >= 0)
        closing = rest[:end].count(b"}") - rest[:end].count(b"{")
        for value in VALUES:
            content = start + place + value.encode() + b"}" * max(closing, 0) + rest[end:]
            if path == b"steps: ":
                content = start + b"steps: " + value.encode() + b", batch-size: 4}" + rest[end:]
            yield Try(f"grid, {path.decode()}: {value[:20]}", {name: content}, command, Either)


ABSURD = {
    "hidden_size": ("1000000000", "-32", "0", "'32'", "32.5", "[32]", "33", "10000000000000000000000", "true", "null"),
    "intermediate_size": ("10000000000000", "-1", "0", "1e3", "{}", "9999999999999999999"),
    "num_hidden_layers": ("1000000", "-1", "'2'", "2.0", "1000000000000", "false", "[]"),
    "num_attention_heads": ("3", "0", "-2", "1000000000", "1.5", "null", "'a'"),
    "max_position_embeddings": ("0", "-1", "1000000000000", "'x'", "1.5", "null", "1"),
    "vocab_size": ("1000000000000", "300"),
    "tokenizer": (
        "{vocab_size: 1000000000000}",
        "{vocab_size: -1}",
        "{vocab_size: 1.5}",
        "7",
        "{vocab_size: true}",
        "{vocab_size: 0}",
        "{}",
        "null",
        "[]",
        "{vocab_size: 300, other: 1}",
        "{vocab_size: '300'}",
    ),
    "model_type": (
        "nothing",
        "7",
        "null",
        "[llama]",
        "{llama: 1}",
        "''",
        "vit",
        "t5",
        "bert",
        "clip",
        "whisper",
        "encodec",
    ),
    "head_dim": ("0", "-8", "7", "1000000000", "1.5", "'a'"),
    "num_key_value_heads": ("0", "-1", "3", "1000000000", "1.5"),
    "rms_norm_eps": (".nan", ".inf", "-1", "'a'", "0", "[]"),
    "hidden_act": ("nothing", "7", "null", "[]"),
    "attention_dropout": ("2", "-1", ".nan", "'a'"),
    "initializer_range": (".nan", ".inf", "-1", "'a'", "1e30"),
    "rope_theta": (".nan", "0", "-1", "'a'", ".inf"),
    "rope_scaling": ("{rope_type: nothing}", "{}", "7", "{factor: -1, rope_type: linear}", "[]"),
    "rope_parameters": ("{rope_type: nothing}", "7", "{rope_theta: .nan}"),
    "tie_word_embeddings": ("'yes'", "7", "null"),
    "attention_bias": ("'yes'", "7"),
    "pad_token_id": ("-1", "0", "10000000"),
    "eos_token_id": ("7",),
    "torch_dtype": ("nothing", "float64", "7"),
    "dtype": ("nothing", "float64", "int8", "7"),
    "quantization_config": ("{}", "{quant_method: nothing}", "7", "{load_in_4bit: true}"),
    "architectures": ("[Nothing]", "7"),
    "auto_map": ("{AutoModelForCausalLM: evil--code.Model}", "7"),
    "attn_implementation": ("nothing", "7"),
    "_attn_implementation": ("nothing",),
    "is_decoder": ("7",),
    "transformers_version": ("7",),
    "name_or_path": ("../../x", "7"),
    "use_cache": ("'x'",),
    "layer_types": ("[nothing]", "[full_attention]", "7"),
    "sliding_window": ("0", "-1", "'x'"),
    "id2label": ("7", "{a: b}"),
    "num_labels": ("-1", "1000000000000", "x"),
    "chunk_size_feed_forward": ("-1", "3", "x"),
    "pretraining_tp": ("0", "-1", "2", "x"),
}
SPOILT = {  # of other types: fields that decide sizes
    "gpt2": {
        "n_embd": ("1000000000", "-4", "0"),
        "n_layer": ("1000000",),
        "n_head": ("0", "5"),
        "n_positions": ("0", "10000000000000"),
    },
    "gpt_neox": {"hidden_size": ("1000000000", "0"), "rotary_pct": ("-1", "2", ".nan", "'a'")},
    "mixtral": {"num_local_experts": ("1000000000", "0", "-1"), "num_experts_per_tok": ("0", "100")},
    "mamba": {
        "state_size": ("1000000000", "0", "-1"),
        "expand": ("0", "-1"),
        "conv_kernel": ("0", "-1", "1000000000"),
    },
    "bloom": {"n_head": ("0", "-3"), "hidden_size": ("1000000000",)},
    "opt": {"ffn_dim": ("1000000000000", "-1"), "word_embed_proj_dim": ("0", "1000000000")},
    "qwen2_moe": {"num_experts": ("1000000000", "0"), "decoder_sparse_step": ("0", "-1")},
    "gemma2": {"head_dim": ("0", "1000000000"), "query_pre_attn_scalar": ("0", "-1")},
    "recurrent_gemma": {"lru_width": ("1000000000", "-1"), "block_types": ("[nothing]", "[]")},
    "deepseek_v3": {"n_routed_experts": ("1000000000", "0"), "q_lora_rank": ("-1", "1000000000")},
}
OTHERS = {"hidden_size": "32", "num_hidden_layers": "2", "num_attention_heads": "2"}
SMALL = {
    "gpt2": {"n_embd": "32", "n_layer": "2", "n_head": "2"},
    "gpt_neox": {**OTHERS, "intermediate_size": "64"},
    "mixtral": {**OTHERS, "intermediate_size": "64", "num_key_value_heads": "2", "num_local_experts": "2"},
    "mamba": {"hidden_size": "32", "num_hidden_layers": "2"},
    "bloom": {"hidden_size": "32", "n_layer": "2", "n_head": "2"},
    "opt": {**OTHERS, "ffn_dim": "64", "word_embed_proj_dim": "32"},
    "qwen2_moe": {
        **OTHERS,
        "moe_intermediate_size": "16",
        "shared_expert_intermediate_size": "16",
        "num_experts": "4",
    },
    "gemma2": {**OTHERS, "intermediate_size": "64", "head_dim": "16", "num_key_value_heads": "2"},
    "recurrent_gemma": {**OTHERS, "intermediate_size": "64", "num_key_value_heads": "1"},
    "deepseek_v3": {**OTHERS, "intermediate_size": "64", "moe_intermediate_size": "16", "n_routed_experts": "8"},
}
BASE = {"hidden_size": "32", "intermediate_size": "64", "num_hidden_layers": "2", "num_attention_heads": "2"}


def _model_values() -> Iterator[Try]:
    name, _, command = USES["model"]
    for field, values in ABSURD.items():
        for value in values:
            fields = {"model_type": "llama", **BASE, "tokenizer": "{vocab_size: 300}", field: value}
            content = "".join(f"{key}: {given}\n" for key, given in fields.items()).encode()
            yield Try(f"model: {field}: {value}", {name: content}, command, Either)
    for kind, fields in SPOILT.items():
        for field, values in fields.items():
            for value in values:
                fields = {"model_type": kind, **SMALL[kind], "tokenizer": "{vocab_size: 300}", field: value}
                content = "".join(f"{key}: {given}\n" for key, given in fields.items()).encode()
                yield Try(f"model of {kind}: {field}: {value}", {name: content}, command, Either)
    encode = (
        "encode",
        "raw.jsonl",
        "--model",
        name,
        "--out",
        "rows.out",
        "--steps",
        "1",
        "--codebook-size",
        "2",
        "--hidden-size",
        "16",
    )
    for value in ABSURD["tokenizer"]:
        content = f"model_type: llama\ntokenizer: {value}\n".encode()
        yield Try(f"encode, model: tokenizer: {value}", {name: content}, encode, Either)


def damaged_yaml(draw: random.Random) -> Try:
    """Return a call with YAML some of whose bits are changed."""
    use = draw.choice(("config", "config", "grid", "grid", "recipe", "model"))
    name, right, command = USES[use]
    return Try(f"damaged {use}", {name: flipped(right, draw)}, command, Either)
