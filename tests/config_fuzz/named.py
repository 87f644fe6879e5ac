"""Configurations that an export once read otherwise than transformers, or that come close to such."""

from __future__ import annotations

from config_fuzz.draw import FULL, SLIDING, Config
from config_fuzz.published import PUBLISHED as P

_FACTORS = {"short_factor": [1.2] * 8, "long_factor": [4.0] * 8}
_MINISTRAL = P["mistral"] | {"head_dim": 16}
_YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 16.0, "original_max_position_embeddings": 32}


def _without(config: Config, *keys: str) -> Config:
    return {key: value for key, value in config.items() if key not in keys}


NAMED: dict[str, Config] = {
    "smollm3_layer_types_made_of_a_window_that_is_not_used": _without(P["smollm3"], "layer_types")
    | {"sliding_window": 6, "use_sliding_window": False},
    "smollm3_layer_types_win": P["smollm3"]
    | {"sliding_window": 6, "use_sliding_window": False, "layer_types": [SLIDING, FULL]},
    "smollm3_published": P["smollm3"],
    "qwen3_moe_all_full_beside_a_window": P["qwen3_moe"]
    | {"layer_types": [FULL] * 2, "sliding_window": 6, "use_sliding_window": True},
    "mixtral_all_full_beside_a_window": P["mixtral"] | {"layer_types": [FULL] * 2, "sliding_window": 6},
    "phi3_all_full_beside_a_window": P["phi3_4k"] | {"layer_types": [FULL] * 2, "sliding_window": 6},
    "mistral_all_full_beside_a_window": _MINISTRAL | {"layer_types": [FULL] * 2},
    "mistral_alternating": _MINISTRAL | {"layer_types": [SLIDING, FULL]},
    "phi3_original_length_in_the_section_alone": _without(
        P["phi3_128k"], "original_max_position_embeddings", "rope_scaling"
    )
    | {"rope_parameters": _FACTORS | {"rope_type": "longrope", "original_max_position_embeddings": 24}},
    "phi3_no_original_length": _without(P["phi3_128k"], "original_max_position_embeddings"),
    "gemma3_nested_yarn_truncate": _without(P["gemma3"], "rope_scaling", "rope_theta", "rope_local_base_freq")
    | {"rope_parameters": {FULL: _YARN | {"truncate": False, "beta_fast": 8}, SLIDING: {"rope_type": "default"}}},
    "gemma3_yarn_truncate_beside_the_kinds": _without(P["gemma3"], "rope_scaling", "rope_theta", "rope_local_base_freq")
    | {"rope_parameters": {FULL: _YARN, SLIDING: {"rope_type": "default", "rope_theta": 1e4}, "truncate": False}},
    "gemma3_scaling_by_its_old_key": P["gemma3"] | {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "llama_yarn_with_long_factor": P["llama2"] | {"rope_scaling": _FACTORS | {"type": "yarn", "factor": 4.0}},
    "qwen2_yarn_past_the_stated_context": P["qwen25"]
    | {
        "max_position_embeddings": 16,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    },
    "llama_linear_past_the_stated_context": P["llama2"]
    | {"max_position_embeddings": 16, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "gpt2_head_dim": P["gpt2"] | {"head_dim": 32},
    "gpt2_heads_by_another_name": P["gpt2"] | {"num_attention_heads": 2},
    "gpt2_all_sizes_by_another_name": _without(P["gpt2"], "n_embd", "n_layer", "n_head", "n_positions")
    | {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 3, "max_position_embeddings": 64},
    "opt_head_dim": P["opt125m"] | {"head_dim": 8},
    "qwen2_in_both_directions": P["qwen25"] | {"is_causal": False},
    "gpt2_in_both_directions": P["gpt2"] | {"is_causal": False},
}
