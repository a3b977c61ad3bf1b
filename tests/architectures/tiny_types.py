"""A tiny random model of every causal type of the installed transformers that a small configuration can build."""

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
VOCABULARY, LARGEST = 300, 4_000_000  # rows; parameters of a model that counts as tiny
WINDOW = 12  # of attention, where a type has any: shorter than the rows that are tried

# By the names that configurations have for them. Weights are large, so that tokens and places matter.
_SHAPE = (
    dict.fromkeys(("hidden_size", "d_model", "n_embd", "word_embed_proj_dim", "embedding_size", "lru_width"), 32)
    | dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim"), 48)
    | dict.fromkeys(("ffn_hidden_size",), 48)
    | dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "decoder_layers", "encoder_layers"), 2)
    | dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "decoder_attention_heads"), 4)
    | dict.fromkeys(("encoder_attention_heads", "mamba_n_heads", "mamba_num_heads", "linear_num_value_heads"), 4)
    | dict.fromkeys(("linear_num_heads",), 4)
    | dict.fromkeys(("num_key_value_heads", "linear_num_key_heads", "index_n_heads"), 2)
    | dict.fromkeys(("head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "index_head_dim"), 8)
    | dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"), 8)
    | dict.fromkeys(("ssm_state_size", "state_size", "mamba_d_state", "chunk_size", "mamba_chunk_size"), 8)
    | dict.fromkeys(("kv_lora_rank", "q_lora_rank", "qk_head_dim", "mamba_d_head", "mamba_head_dim"), 16)
    | dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 16)
    | dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "rotary_dim"), 4)
    | dict.fromkeys(("mamba_d_conv", "mamba_dt_rank", "time_step_rank"), 4)
    | dict.fromkeys(("num_experts_per_tok", "moe_topk", "mamba_expand"), 2)
    | dict.fromkeys(("n_shared_experts", "n_group", "topk_group", "n_groups", "mamba_n_groups", "zero_expert_num"), 1)
    | dict.fromkeys(("type_vocab_size", "pretraining_tp"), 1)
    | dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), 256)
    | dict.fromkeys(("attention_dropout", "hidden_dropout", "dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    | dict.fromkeys(("activation_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "emb_pdrop"), 0.0)
    | dict.fromkeys(("resid_dropout", "embed_dropout", "attn_dropout", "layerdrop"), 0.0)
    | {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    | {"mamba_d_ssm": 64, "index_topk": 64, "use_mamba_kernels": False, "initializer_range": 0.2}
)
_LATENT_ATTENTION = {"num_key_value_heads": 4}  # as many as query heads
_TWO_KINDS = ["sliding_attention", "full_attention"]
_ZAMBA = {"attention_hidden_size": 64, "attention_head_dim": 16, "num_hidden_layers": 4}
_HYBRID = ["linear_attention", "hybrid", "linear_attention", "hybrid"]
_OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk2", "bailing_hybrid", "deepseek_v2", "deepseek_v3", "deepseek_v32"), _LATENT_ATTENTION),
    **dict.fromkeys(("glm4_moe_lite", "glm_moe_dsa", "kimi_linear", "longcat_flash"), _LATENT_ATTENTION),
    **dict.fromkeys(("minicpm3", "youtu", "axk1"), _LATENT_ATTENTION),
    **dict.fromkeys(("laguna", "mellum"), {"layer_types": _TWO_KINDS}),
    "bamba": {"num_hidden_layers": 4, "attn_layer_indices": [1, 3]},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}},
        "layer_types": ["full_attention"] * 2,
    },
    "dbrx": {
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": 256,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 48, "hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "intermediate_size": [48] * 4,
        "layer_types": _TWO_KINDS * 2,
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.0] * 4,
        "laurel_rank": 8,
    },
    "gemma4_text": {
        "layer_types": _TWO_KINDS,
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_ff_dim": 48, "block_multiple_of": 8},
    "lfm2_moe": {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "lfm3": {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "sliding_attention"]},
    "mamba2": {"num_heads": 4, "head_dim": 16},
    "moshi": {"sliding_window": 64},  # beyond it the library itself decodes otherwise with a cache than without
    "recurrent_gemma": {
        "num_hidden_layers": 3,
        "block_types": ["recurrent", "recurrent", "attention"],
        "attention_window_size": WINDOW,
    },
    "reformer": {
        "is_decoder": True,
        "axial_pos_embds": False,
        "attn_layers": ["local", "lsh"],
        "num_hash_functions": 1,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
        "num_buckets": 4,
        "attention_head_size": 8,
        "feed_forward_size": 48,
    },
    "xlstm": {"hidden_size": 128},  # heads of 16, the least that its kernels hold
    "xmod": {"default_language": "en_XX"},
    "zamba": {**_ZAMBA, "layers_block_type": _HYBRID},
    "zamba2": {
        **_ZAMBA,
        "layer_types": _HYBRID,
        "hybrid_layer_ids": [1, 3],
        "num_mem_blocks": 1,
        "mamba_headdim": 16,
        "n_mamba_heads": 4,
        "kv_channels": 8,
        "num_query_groups": 4,
        "num_key_value_heads": 4,
    },
    "zaya": {"num_experts_per_tok": 1},
}
_ONE_OF_EACH = ("layer_types", "layers_block_type", "block_types", "attn_layer_indices", "attn_layer_period")


def tiny_config(kind: str, **fields: Any) -> "PreTrainedConfig":
    """Return a small configuration of a model type, with one layer of each kind that its own default has."""
    config = CONFIG_MAPPING[kind]
    default = config()
    known = {*default.to_dict(), *default.attribute_map}
    shape = {name: value for name, value in {"vocab_size": VOCABULARY, **_SHAPE}.items() if name in known}
    for alias, name in default.attribute_map.items():
        if alias in shape and name in shape:
            del shape[alias]
    own = _OWN.get(kind, {})
    kinds = list(dict.fromkeys(getattr(default, "layer_types", None) or []))
    if len(kinds) > 1 and "layer_types" in known and not set(_ONE_OF_EACH) & set(own):
        names = [name for name in ("num_hidden_layers", "n_layer", "num_layers") if name in shape]
        shape |= {"layer_types": kinds, **dict.fromkeys(names, len(kinds))}
    if default.to_dict().get("sliding_window"):
        shape["sliding_window"] = WINDOW
    text = getattr(default, "text_config", None)
    if text is not None and not isinstance(text, dict) and text.model_type != kind:
        shape["text_config"] = tiny_config(text.model_type).to_dict()
    return config(**{**shape, **own, **fields})


def tiny_type(kind: str, **fields: Any) -> "PreTrainedModel":
    """Return a random causal LM of a model type.

    Raises:
        Exception: Whatever its library says, if a small configuration does not build it.
    """
    config = tiny_config(kind, **fields)
    with torch.device("meta"):
        size = sum(part.numel() for part in AutoModelForCausalLM.from_config(deepcopy(config)).parameters())
    if size > LARGEST:
        raise ValueError(f"{size / 1e6:.0f} million parameters at the least")
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()
