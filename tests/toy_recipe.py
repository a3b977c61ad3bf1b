"""The smallest model and settings with which every command does its work."""

ROWS = {"train": 120, "valid": 10, "test": 6}
DATA = {"operations": 2}
STAGES = {
    "model": {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "tokenizer": {"vocab_size": 512},
    },
    "template": {"separator": ""},
    "encode": {"chunk-length": 8, "codebook-size": 8, "hidden-size": 16, "num-layers": 1, "num-heads": 2, "steps": 6},
    "train": {"steps": 2, "batch-size": 4},
}
