"""Random configurations of every family: sizes are tiny, everything else is drawn from what config.json may say."""

from __future__ import annotations

from random import Random
from typing import Any

Config = dict[str, Any]
ACTIVATIONS = (
    "silu",
    "silu",
    "swish",
    "gelu",
    "gelu",
    "gelu_new",
    "gelu_fast",
    "gelu_pytorch_tanh",
    "gelu_pytorch_tanh",
    "relu",
    "relu",
    "mish",
)
FULL, SLIDING = "full_attention", "sliding_attention"
LENGTH = 40  # of the text that is compared
_EPSILONS = (1e-12, 1e-6, 1e-5, 1e-2)
_WINDOWS = (1, 4, 7, 16, 39, 40, 41, 4096, None)
_THETAS = (100.0, 10000.0, 10000, 500000.0, 1e6)

# What a family has beside the common keys, with values to draw from. A key is left out as often as it is drawn.
_KEYS: dict[str, dict[str, tuple[Any, ...]]] = {
    "llama": {"attention_bias": (True, False), "mlp_bias": (True, False), "pretraining_tp": (1, 2)},
    "mistral": {"sliding_window": _WINDOWS},
    "qwen2": {
        "sliding_window": _WINDOWS, "use_sliding_window": (True, False), "max_window_layers": (0, 1, 2, 28),
    },
    "qwen3": {
        "attention_bias": (True, False), "sliding_window": _WINDOWS, "use_sliding_window": (True, False),
        "max_window_layers": (0, 1, 2, 28),
    },
    "qwen3_moe": {
        "attention_bias": (True, False), "sliding_window": _WINDOWS, "use_sliding_window": (True, False),
        "max_window_layers": (0, 1), "norm_topk_prob": (True, False), "decoder_sparse_step": (1, 2, 3),
        "mlp_only_layers": ([], [0], [1]), "output_router_logits": (True, False),
        "router_aux_loss_coef": (0.001, 0.1),
    },
    "mixtral": {
        "sliding_window": _WINDOWS, "router_jitter_noise": (0.0, 0.1), "output_router_logits": (True, False),
    },
    "phi3": {
        "sliding_window": _WINDOWS, "resid_pdrop": (0.0, 0.1), "embd_pdrop": (0.0, 0.1),
        "original_max_position_embeddings": (16, 32, 64), "partial_rotary_factor": (1.0, 0.5, 0.75),
        "attention_bias": (True, False),
    },
    "gemma": {
        "attention_bias": (True, False), "hidden_activation": (None, "gelu_pytorch_tanh", "relu"),
        "use_bidirectional_attention": (None, False, False, False, True),
    },
    "gemma2": {
        "attention_bias": (True, False), "query_pre_attn_scalar": (8, 24, 256), "sliding_window": _WINDOWS,
        "attn_logit_softcapping": (None, 5.0, 50.0), "final_logit_softcapping": (None, 3.0, 30.0),
        "hidden_act": ("gelu", "silu"), "cache_implementation": ("hybrid",),
        "use_bidirectional_attention": (None, False, False, False, True),
    },
    "gemma3_text": {
        "attention_bias": (True, False), "query_pre_attn_scalar": (8, 24, 256), "sliding_window": _WINDOWS,
        "attn_logit_softcapping": (None, 5.0), "final_logit_softcapping": (None, 3.0, 30.0),
        "sliding_window_pattern": (1, 2, 3, 6), "rope_local_base_freq": (100.0, 10000.0),
        "use_bidirectional_attention": (None, False, False, False, True),
    },
    "opt": {
        "activation_function": ACTIVATIONS, "do_layer_norm_before": (True, False), "word_embed_proj_dim": (32, 48),
        "enable_bias": (True, False), "layer_norm_elementwise_affine": (True, True, False),
        "_remove_final_layer_norm": (True, False), "layerdrop": (0.0,),
    },
    "gpt2": {
        "activation_function": ACTIVATIONS, "n_inner": (None, 80), "layer_norm_epsilon": _EPSILONS,
        "scale_attn_weights": (True, False), "scale_attn_by_inverse_layer_idx": (True, False),
        "reorder_and_upcast_attn": (True, False), "add_cross_attention": (False, False, True), "n_ctx": (64,),
        "summary_type": ("cls_index",), "resid_pdrop": (0.1,),
    },
    "olmo2": {"attention_bias": (True, False)},
    "smollm3": {
        "attention_bias": (True, False), "mlp_bias": (True, False), "no_rope_layer_interval": (1, 2, 4),
        "use_sliding_window": (True, False), "sliding_window": _WINDOWS, "max_window_layers": (0, 1, 28),
        "pretraining_tp": (2,),
    },
    "granite": {
        "attention_bias": (True, False), "mlp_bias": (True, False), "embedding_multiplier": (1.0, 12.0, 12),
        "attention_multiplier": (0.1, 0.015625), "residual_multiplier": (1.0, 0.22), "logits_scaling": (1.0, 8.0, 8),
    },
    "stablelm": {
        "use_qkv_bias": (True, False), "qk_layernorm": (True, False), "use_parallel_residual": (True, False),
        "partial_rotary_factor": (0.25, 0.5, 1.0), "layer_norm_eps": _EPSILONS,
    },
    "falcon": {
        "new_decoder_architecture": (True, False), "multi_query": (True, False), "parallel_attn": (True, True, False),
        "bias": (True, False), "num_kv_heads": (1, 2, None), "num_ln_in_parallel_attn": (None, 1, 2),
        "ffn_hidden_size": (None, 80, 128), "activation": ACTIVATIONS, "layer_norm_epsilon": _EPSILONS,
        "alibi": (False, False, False, True), "hidden_dropout": (0.0, 0.1),
    },
}  # fmt: skip
FAMILIES = tuple(_KEYS)
_WINDOWED = tuple(name for name, keys in _KEYS.items() if "sliding_window" in keys)
_LEARNED = ("opt", "gpt2")  # positions are learned, not rotary
_GATED = tuple(name for name in FAMILIES if name not in ("opt", "gpt2", "falcon"))
_ACT_KEY = dict.fromkeys(("gemma2", "gemma3_text"), "hidden_activation")
# Keys that transformers takes in every family.
_EVERYWHERE: dict[str, tuple[Any, ...]] = {
    "attention_dropout": (0.0, 0.1), "initializer_range": (0.02, 0.3), "use_cache": (True, False),
    "torch_dtype": ("bfloat16", "float32"), "dtype": ("float16",), "transformers_version": ("4.40.0", "5.24.0"),
    "tie_word_embeddings": (True, False), "_name_or_path": ("somebody/something",),
}  # fmt: skip
_SELDOM: dict[str, tuple[Any, ...]] = {
    "is_causal": (True, True, False),
    "layer_types": (),
    "a_key_of_ours": (1,),
}


def draw(random: Random, family: str | None = None) -> Config:
    """Return a random configuration."""
    family = family or random.choice(FAMILIES)
    c: Config = {"model_type": family, **_sizes(random, family)}
    for keys in (_KEYS[family], _EVERYWHERE):
        c |= {key: random.choice(values) for key, values in keys.items() if random.random() < 0.5}
    if family in _GATED and random.random() < 0.5:
        c[_ACT_KEY.get(family, "hidden_act")] = random.choice(ACTIVATIONS)
    if family not in _LEARNED:
        c |= rotary(random, c)
    for key, values in _SELDOM.items():
        if random.random() < (0.3 if key == "layer_types" and family in _WINDOWED else 0.1):
            c[key] = random.choice(values) if values else layer_types(random, c)
    if family == "smollm3" and random.random() < 0.4:
        c["no_rope_layers"] = [random.randrange(2) for _ in range(layers_of(c))]
    return c


def layer_types(random: Random, c: Config) -> list[str] | None:
    """Return a list of kinds of layer: mixed, all the same, or one too many."""
    layers = layers_of(c)
    return random.choice([
        [random.choice((FULL, SLIDING)) for _ in range(layers)], [random.choice((FULL,
        SLIDING)) for _ in range(layers)],
        [FULL] * layers, [SLIDING] * layers, [FULL] * (layers + 1), None,
    ])  # fmt: skip


def layers_of(c: Config) -> int:
    """Return the number of layers that config.json states, by whichever name."""
    value = c.get("num_hidden_layers", c.get("n_layer"))
    return value if isinstance(value, int) and 0 < value < 64 else 2


def _sizes(random: Random, family: str) -> Config:
    heads = random.choice((1, 2, 3, 4, 6))
    head_dim = random.choice((8, 12, 16, 20, 24, 32))
    layers, vocabulary = random.choice((1, 2, 2, 3)), random.choice((61, 64, 97))
    positions, inner = random.choice((48, 64, 100, 128, 2048)), random.choice((48, 72, 96))
    if family == "gpt2":
        sizes = {"n_embd": heads * head_dim, "n_layer": layers, "n_head": heads, "n_positions": positions}
        named = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
        if random.random() < 0.1:
            sizes = {new: sizes[old] for new, old in named.items()} | {"max_position_embeddings": positions}
        return sizes | {"vocab_size": vocabulary, "bos_token_id": 1, "eos_token_id": 2}
    c: Config = {
        "vocab_size": vocabulary, "hidden_size": heads * head_dim, "num_hidden_layers": layers,
        "num_attention_heads": heads, "max_position_embeddings": positions, "bos_token_id": 1, "eos_token_id": 2,
        "pad_token_id": 0,
    }  # fmt: skip
    if family == "opt":
        return c | {"ffn_dim": inner, "word_embed_proj_dim": c["hidden_size"]}
    if family == "falcon":
        return c
    c["num_key_value_heads"] = random.choice([n for n in range(1, heads + 1) if heads % n == 0])
    if family not in ("granite", "olmo2", "phi3", "stablelm"):
        c["head_dim"] = head_dim if random.random() < 0.7 else random.choice((8, 16, 20, 24, 32))
    if family == "qwen3_moe":
        c |= {"num_experts": random.choice((0, 3, 4)), "num_experts_per_tok": random.choice((1, 2))}
        c["moe_intermediate_size"] = random.choice((24, 48))
    if family == "mixtral":
        c |= {"num_local_experts": random.choice((3, 4)), "num_experts_per_tok": random.choice((1, 2))}
    if family.endswith("moe") or family != "mixtral":
        return c | {"intermediate_size": inner} | _epsilon(random, family)
    return c | {"intermediate_size": 48} | _epsilon(random, family)


def _epsilon(random: Random, family: str) -> Config:
    if family == "stablelm" or random.random() < 0.3:
        return {}
    return {"rms_norm_eps": random.choice(_EPSILONS)}


def rotary(random: Random, c: Config) -> Config:
    """Return rotary parameters in the style of transformers 4, of 5, or of both at once."""
    style = random.choice(("none", "theta", "old", "old", "new", "new", "both"))
    if style == "none":
        return {}
    theta = random.choice(_THETAS)
    if style == "theta":
        return {"rope_theta": theta, "rope_scaling": None}
    if c["model_type"] == "gemma3_text" and style in ("new", "both"):
        kinds = {FULL: _scaling(random, c, "new"), SLIDING: _scaling(random, c, "new")}
        new = {"rope_parameters": {kind: kinds[kind] for kind in kinds if random.random() < 0.9}}
        return new | ({"rope_scaling": _scaling(random, c, "old")} if style == "both" else {})
    if style == "old":
        scaling = _scaling(random, c, "old")
        return {"rope_scaling": scaling} | ({"rope_theta": theta} if random.random() < 0.7 else {})
    new = {"rope_parameters": _scaling(random, c, "new")}
    return new if style == "new" else new | {"rope_theta": theta, "rope_scaling": _scaling(random, c, "old")}


def _scaling(random: Random, c: Config, style: str) -> Config:
    key = "rope_type" if style == "new" or random.random() < 0.5 else "type"
    kinds = ("default", "linear", "dynamic", "llama3", "yarn", "yarn", "longrope", "longrope")
    kind = random.choice(kinds if c["model_type"] != "phi3" else ("default", "longrope", "longrope", "yarn"))
    section: Config = {key: kind}
    if c["model_type"] == "phi3" and kind == "longrope" and style == "old":
        section[key] = random.choice(("longrope", "su", "yarn"))
    if style == "new" or random.random() < 0.2:
        section["rope_theta"] = random.choice(_THETAS)
    if kind not in ("default", "longrope") or random.random() < 0.3:
        section["factor"] = random.choice((1.0, 2.0, 2.5, 4.0, 8, 16.0))
    if kind in ("llama3", "yarn", "longrope") and random.random() < 0.7:
        section["original_max_position_embeddings"] = random.choice((8, 16, 24, 32, 64))
    if random.random() < 0.1:
        section["partial_rotary_factor"] = random.choice((0.25, 0.5, 0.75, 1.0))
    return section | _extras(random, c, kind)


def _extras(random: Random, c: Config, kind: str) -> Config:
    if kind == "llama3":
        return {"low_freq_factor": random.choice((1.0, 1, 2.0)), "high_freq_factor": random.choice((4.0, 4, 8.0))}
    if kind == "yarn":
        choices: dict[str, tuple[Any, ...]] = {
            "beta_fast": (32, 32.0, 8), "beta_slow": (1, 1.0, 2), "attention_factor": (None, 1.0, 0.7),
            "mscale": (1.0, 0.707), "mscale_all_dim": (1.0, 0.5), "truncate": (True, False, None),
        }  # fmt: skip
        return {key: random.choice(values) for key, values in choices.items() if random.random() < 0.25}
    if kind == "longrope":
        pairs = rotated_pairs(c) if random.random() < 0.9 else 5
        extra = {"attention_factor": random.choice((None, 1.0, 1.2))} if random.random() < 0.3 else {}
        return extra | {
            "short_factor": [round(1 + random.random(), 3) for _ in range(pairs)],
            "long_factor": [round(1 + 7 * random.random(), 3) for _ in range(pairs)],
        }
    return {}


def rotated_pairs(c: Config) -> int:
    """Return how many pairs of a head are rotated."""
    dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    default = 0.25 if c["model_type"] == "stablelm" else 1.0
    return int(dim * (c.get("partial_rotary_factor") or default)) // 2
