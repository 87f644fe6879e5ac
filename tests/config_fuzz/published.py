"""Configurations as they are published, sizes shrunk, and edits of them: keys of any family, usual and odd values."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from config_fuzz.draw import ACTIVATIONS, FULL, SLIDING, Config, layer_types, layers_of, rotary

_TOKENS = {"vocab_size": 97, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16", "use_cache": True}
_LLAMA = _TOKENS | {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "hidden_act": "silu", "initializer_range": 0.02,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False, "attention_dropout": 0.0,
}  # fmt: skip
_FACTORS = {"short_factor": [1.0 + i / 8 for i in range(8)], "long_factor": [1.5 + i for i in range(8)]}
_FALCON = _TOKENS | {
    "model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": False,
    "attention_dropout": 0.0, "hidden_dropout": 0.0, "initializer_range": 0.02, "layer_norm_epsilon": 1e-5,
    "apply_residual_connection_post_layernorm": False, "bias": False, "auto_map": {"AutoConfig": "a--b.C"},
}  # fmt: skip
_GEMMA2 = {
    "attention_bias": False, "cache_implementation": "hybrid", "head_dim": 16, "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 16, "pad_token_id": 0, "sliding_window": 16,
    "tie_word_embeddings": True, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
}  # fmt: skip

PUBLISHED: dict[str, Config] = {
    "llama2": _LLAMA | {"model_type": "llama", "pretraining_tp": 1, "rope_scaling": None},
    "llama32": _LLAMA | {
        "model_type": "llama", "attention_bias": False, "head_dim": 16, "mlp_bias": False, "pretraining_tp": 1,
        "rope_theta": 500000.0, "tie_word_embeddings": True, "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 32,
            "rope_type": "llama3",
        },
    },
    "mistral": _LLAMA | {"model_type": "mistral", "sliding_window": 16},
    "mistral_nemo": _LLAMA | {"model_type": "mistral", "sliding_window": None, "head_dim": 24, "rope_theta": 1e6},
    "qwen25": _LLAMA | {
        "model_type": "qwen2", "max_window_layers": 1, "sliding_window": 16, "use_sliding_window": False,
        "rope_theta": 1e6, "tie_word_embeddings": True, "use_mrope": False,
    },
    "qwen3": _LLAMA | {
        "model_type": "qwen3", "attention_bias": False, "head_dim": 32, "max_window_layers": 2, "rope_scaling": None,
        "sliding_window": None, "use_sliding_window": False, "rope_theta": 1e6,
    },
    "qwen3_moe": _LLAMA | {
        "model_type": "qwen3_moe", "attention_bias": False, "decoder_sparse_step": 1, "head_dim": 16,
        "max_window_layers": 2, "mlp_only_layers": [], "moe_intermediate_size": 48, "norm_topk_prob": True,
        "num_experts": 4, "num_experts_per_tok": 2, "output_router_logits": False, "rope_scaling": None,
        "router_aux_loss_coef": 0.001, "sliding_window": None, "use_sliding_window": False,
    },
    "mixtral": _LLAMA | {
        "model_type": "mixtral", "num_experts_per_tok": 2, "num_local_experts": 4, "output_router_logits": False,
        "rope_theta": 1e6, "router_aux_loss_coef": 0.02, "sliding_window": None,
    },
    "phi3_4k": _LLAMA | {
        "model_type": "phi3", "embd_pdrop": 0.0, "resid_pdrop": 0.0, "original_max_position_embeddings": 128,
        "pad_token_id": 0, "rope_scaling": None, "sliding_window": 30, "attention_bias": False,
    },
    "phi3_128k": _LLAMA | {
        "model_type": "phi3", "embd_pdrop": 0.0, "resid_pdrop": 0.0, "original_max_position_embeddings": 32,
        "pad_token_id": 0, "rope_scaling": _FACTORS | {"type": "longrope"}, "sliding_window": 4096,
    },
    "gemma": _LLAMA | {
        "model_type": "gemma", "attention_bias": False, "head_dim": 32, "hidden_act": "gelu",
        "hidden_activation": None, "pad_token_id": 0, "rope_scaling": None, "num_key_value_heads": 1,
    },
    "gemma2": _LLAMA | _GEMMA2 | {"model_type": "gemma2"},
    "gemma3": _LLAMA | _GEMMA2 | {
        "model_type": "gemma3_text", "attn_logit_softcapping": None, "final_logit_softcapping": None,
        "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000, "sliding_window_pattern": 2,
        "num_key_value_heads": 1,
    },
    "opt125m": _TOKENS | {
        "model_type": "opt", "activation_dropout": 0.0, "activation_function": "relu", "attention_dropout": 0.0,
        "do_layer_norm_before": True, "dropout": 0.1, "ffn_dim": 96, "hidden_size": 64, "init_std": 0.02,
        "layerdrop": 0.0, "max_position_embeddings": 128, "num_attention_heads": 4, "num_hidden_layers": 2,
        "pad_token_id": 1, "prefix": "</s>", "word_embed_proj_dim": 64, "_remove_final_layer_norm": False,
    },
    "opt350m": _TOKENS | {
        "model_type": "opt", "activation_function": "relu", "do_layer_norm_before": False, "dropout": 0.1,
        "ffn_dim": 96, "hidden_size": 64, "max_position_embeddings": 128, "num_attention_heads": 4,
        "num_hidden_layers": 2, "pad_token_id": 1, "word_embed_proj_dim": 32,
    },
    "gpt2": {
        "model_type": "gpt2", "activation_function": "gelu_new", "attn_pdrop": 0.1, "bos_token_id": 1,
        "embd_pdrop": 0.1, "eos_token_id": 1, "initializer_range": 0.02, "layer_norm_epsilon": 1e-5, "n_ctx": 128,
        "n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 128, "resid_pdrop": 0.1, "vocab_size": 97,
        "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
        "summary_type": "cls_index", "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    },
    "olmo2": _LLAMA | {"model_type": "olmo2", "attention_bias": False, "pad_token_id": 0, "rope_scaling": None},
    "smollm3": _LLAMA | {
        "model_type": "smollm3", "attention_bias": False, "mlp_bias": False, "no_rope_layer_interval": 2,
        "no_rope_layers": [1, 0], "layer_types": [FULL] * 2, "pad_token_id": 0, "pretraining_tp": 2,
        "rope_scaling": None, "rope_theta": 5e6, "sliding_window": None, "use_sliding_window": False,
        "max_window_layers": 28, "tie_word_embeddings": True,
    },
    "granite": _LLAMA | {
        "model_type": "granite", "attention_bias": False, "attention_multiplier": 0.0625, "embedding_multiplier": 12.0,
        "logits_scaling": 8.0, "mlp_bias": False, "residual_multiplier": 0.22, "rope_scaling": None, "pad_token_id": 0,
    },
    "stablelm": {k: v for k, v in _LLAMA.items() if k != "rms_norm_eps"} | {
        "model_type": "stablelm", "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.25, "qk_layernorm": False,
        "use_parallel_residual": False, "use_qkv_bias": True, "hidden_size": 128, "hidden_dropout": 0.0,
    },
    "falcon_7b": _FALCON | {"multi_query": True, "new_decoder_architecture": False, "parallel_attn": True},
    "falcon_40b": _FALCON | {"new_decoder_architecture": True, "parallel_attn": True, "num_kv_heads": 2},
    "falcon_11b": _FALCON | {
        "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1, "parallel_attn": True,
        "ff_factor": 4, "ffn_hidden_size": 96, "rope_theta": 5e5, "max_position_embeddings": 128,
        "activation": "gelu", "rope_scaling": None,
    },
}  # fmt: skip

_LONG = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
# Keys of all families, with values to put there. None is null; a key may also be taken away.
VALUES: dict[str, tuple[Any, ...]] = {
    "activation_function": ACTIVATIONS, "add_cross_attention": (True, False), "alibi": (True, False),
    "attention_bias": (True, False), "attention_chunk_size": (8, 4096), "attention_dropout": (0.5, 0),
    "attention_multiplier": (0.2, 1), "attn_implementation": ("eager",),
    "attn_logit_softcapping": (5.0, None), "bias": (True, False), "clip_qkv": (2.0,), "decoder_sparse_step": (1, 2, 0),
    "do_layer_norm_before": (True, False), "embedding_multiplier": (3.0, 1), "enable_bias": (True, False),
    "ffn_dim": (48,), "ffn_hidden_size": (80, None), "final_logit_softcapping": (3.0, None),
    "head_dim": (8, 24, 32, 16, None, 15), "hidden_act": ACTIVATIONS, "hidden_activation": (*ACTIVATIONS, None),
    "hidden_size": (48, 96, 60), "intermediate_size": (48, 80, None), "is_causal": (False, True),
    "is_decoder": (True, False), "is_encoder_decoder": (False,), "layer_norm_elementwise_affine": (True, False),
    "layer_norm_eps": (1e-2, 1e-12), "layer_norm_epsilon": (1e-2, 1e-12), "layer_types": (), "logit_scale": (0.1,),
    "logits_scaling": (4.0, 1), "max_position_embeddings": (64, 40, 4096), "max_window_layers": (0, 1, 28),
    "mlp_bias": (True, False), "mlp_only_layers": ([0], [1], [], None), "moe_intermediate_size": (24,),
    "mscale": (0.7,), "multi_query": (True, False), "n_ctx": (32,), "n_embd": (48,), "n_head": (2, 3), "n_inner": (80,),
    "n_layer": (1, 3), "n_positions": (64,), "new_decoder_architecture": (True, False),
    "no_rope_layer_interval": (1, 2, 4), "no_rope_layers": ([0, 1], [1, 1], [], None), "norm_topk_prob": (True, False),
    "num_attention_heads": (2, 8, 3, 1), "num_experts": (0, 3, 4), "num_experts_per_tok": (1, 3),
    "num_hidden_layers": (1, 3), "num_key_value_heads": (1, 4, None, 2), "num_kv_heads": (1, 2, 4, None),
    "num_ln_in_parallel_attn": (1, 2, None), "num_local_experts": (3, 4),
    "original_max_position_embeddings": (16, 32, 64, None), "pad_token_id": (None, 0, 3), "parallel_attn": (True,
    False),
    "partial_rotary_factor": (0.5, 0.25, 0.75, 1, None), "per_layer_config": ({}, {"0": {"intermediate_size": 48}}),
    "pretraining_tp": (2, 4), "qk_layernorm": (True, False), "quantization_config": (None,),
    "query_pre_attn_scalar": (8, 64), "residual_multiplier": (0.5, 1), "rms_norm_eps": (1e-2, 1e-12, 1e-6),
    "rope_local_base_freq": (100.0, 500000), "rope_parameters": (), "rope_scaling": (), "rope_theta": (100.0, 1e6,
    10000),
    "rotary_pct": (0.5,), "scale_attn_by_inverse_layer_idx": (True, False), "scale_attn_weights": (True, False),
    "sliding_window": (4, 16, 1, 39, None, 4096), "sliding_window_pattern": (1, 2, 3, 6),
    "_sliding_window_pattern": (3,), "tie_word_embeddings": (True, False, None), "use_bidirectional_attention": (True,
    False),
    "use_cache": (True, False), "use_parallel_residual": (True, False), "use_qk_norm": (True, False),
    "use_qkv_bias": (True, False), "use_sliding_window": (True, False), "vocab_size": (61, 128),
    "word_embed_proj_dim": (48, 64, 32), "_remove_final_layer_norm": (True, False), "num_labels": (3,),
    "apply_residual_connection_post_layernorm": (True, False), "rope_interleaved": (True,), "rope_type": ("yarn",),
    "scale_embedding": (False,), "qk_norm": (True,), "use_rope": (False,), "no_rope": (True,),
    "cross_attention_hidden_size": (64,),
    "chunk_size_feed_forward": (0, 7), "tie_encoder_decoder": (True,), "pruned_heads": ({}, {"0": [1]}),
    "n_kv_heads": (1,), "num_kv_groups": (2,), "multi_head": (True,), "norm_eps": (1e-2,), "norm_epsilon": (1e-2,),
    "activation": ACTIVATIONS, "hidden_dropout": (0.3,), "rotary_dim": (8,), "rotary_emb_base": (100,),
    "attn_scale": (0.3,), "text_config": ({},), "dtype": ("float32", None), "torch_dtype": ("float16",),
}  # fmt: skip
_SCALINGS: tuple[Any, ...] = (
    None, {}, _LONG, _LONG | {"rope_type": "yarn"}, {"type": "yarn", "factor": 2.0}, _FACTORS | {"type": "yarn",
    "factor": 4.0},
    _FACTORS | {"type": "su"}, _FACTORS | {"rope_type": "longrope", "original_max_position_embeddings": 24},
    _FACTORS | {"type": "longrope", "factor": 2.0}, {"type": "linear", "factor": 2}, {"rope_type": "dynamic",
    "factor": 4.0},
    {"rope_type": "default", "rope_theta": 100.0}, {"rope_theta": 100.0}, {"rope_type": "default"},
    {"type": "default", "partial_rotary_factor": 0.5}, {"type": "mrope", "mrope_section": [2, 3, 3]},
    {"rope_type": "linear", "type": "dynamic", "factor": 3.0}, {FULL: {"rope_type": "default", "rope_theta": 1e4}},
    {FULL: {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}, SLIDING: {"rope_type": "default",
    "rope_theta": 100.0}},
    {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    {"rope_type": "yarn", "factor": 4.0, "truncate": False, "rope_theta": 1e4}, {"rope_type": "proportional",
    "rope_theta": 1e4},
)  # fmt: skip


def edit(random: Random, name: str | None = None) -> Config:
    """Return a published configuration with one to three edits."""
    name = name or random.choice(list(PUBLISHED))
    c = copy.deepcopy(PUBLISHED[name])
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        key = random.choice(list(c) if random.random() < 0.3 else list(VALUES))
        if key == "model_type":
            continue
        if key in c and random.random() < 0.2:
            del c[key]
        elif key in ("rope_scaling", "rope_parameters"):
            c[key] = copy.deepcopy(_scaling(random, c, key))
        elif key in VALUES:
            c[key] = random.choice(VALUES[key]) if VALUES[key] else layer_types(random, c)
        elif random.random() < 0.3:
            c[key] = None
    return _resized(c)


def _scaling(random: Random, c: Config, key: str) -> Any:
    drawn = rotary(random, {"hidden_size": 64, "num_attention_heads": 4} | c) if random.random() < 0.4 else {}
    return drawn.get(key) or random.choice(_SCALINGS)


def _resized(c: Config) -> Config:
    """Make a list of layers as long as there are layers, most of the time what an edit of both would do."""
    layers = layers_of(c)
    if c["model_type"] == "smollm3" and len(c.get("no_rope_layers") or []) == 2 and layers != 2:
        c["no_rope_layers"] = [1] * layers
        c["layer_types"] = [FULL] * layers
    return c
