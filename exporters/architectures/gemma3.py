"""Gemma 3 (text): norms on queries and keys; five layers with a sliding window and short rotary waves, then one that
sees all tokens with long ones ("Gemma 3 Technical Report", arXiv 2503.19786).
"""

from __future__ import annotations

import math

from exporters.architectures import Architecture
from exporters.architectures.causal_lm import CausalLM, windows
from exporters.attention import HeadNorm, Heads, SelfAttention
from exporters.checkpoint import Checkpoint
from exporters.config import ConfigReader
from exporters.layers import ACTIVATIONS, GatedMLP, RMSNorm
from exporters.rope import Rope

_FULL, _SLIDING = "full_attention", "sliding_attention"


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Gemma 3 text checkpoint."""
    c = checkpoint.config
    c.get("hidden_act")  # stated beside hidden_activation, which alone counts
    activation = c.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    heads, inner, epsilon = Heads.read(c, 256), c.integer("intermediate_size"), c.number("rms_norm_eps", 1e-6)
    bias, scale = c.flag("attention_bias", False), 1 / math.sqrt(c.number("query_pre_attn_scalar", 256))
    logit_cap = c.nullable_number("final_logit_softcapping", None)
    m = CausalLM(checkpoint, heads, positions=131072, tied=True)
    pattern = c.integer("sliding_window_pattern", 6)
    slides = [(i + 1) % pattern != 0 for i in range(m.layers)]
    kinds = c.get("layer_types", [_SLIDING if slide else _FULL for slide in slides])
    window = windows(c, m, c.nullable_integer("sliding_window", 4096), lambda layer: slides[layer])
    ropes = _ropes(c, m.positions)
    rotary = {kind: m.rotary(ropes[kind], f"rotary_{kind}") for kind in dict.fromkeys(kinds)}

    def norm(name: str) -> RMSNorm:
        return RMSNorm(m.g, name, heads.hidden, epsilon, offset=1.0)

    def head_norm(name: str, count: int) -> HeadNorm:
        each = RMSNorm(m.g, name, heads.head_dim, epsilon, offset=1.0)
        return HeadNorm(m.g, name, count, heads.head_dim, each)

    x = m.residual(m.embed(scale=math.sqrt(heads.hidden)))
    for i, name in m.blocks():
        q_norm = head_norm(f"{name}.self_attn.q_norm", heads.heads)
        k_norm = head_norm(f"{name}.self_attn.k_norm", heads.kv_heads)
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=bias, scale=scale, q_norm=q_norm, k_norm=k_norm)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, activation=activation)
        y = attention(x.normed(norm(f"{name}.input_layernorm")), m.io, rotary[kinds[i]], window[i])
        x.add(norm(f"{name}.post_attention_layernorm")(y))
        y = mlp(x.normed(norm(f"{name}.pre_feedforward_layernorm")))
        x.add(norm(f"{name}.post_feedforward_layernorm")(y))
    return m.finish(x.normed(norm("model.norm")), softcap=logit_cap)


def _ropes(c: ConfigReader, positions: int) -> dict[str, Rope]:
    """Return the waves of both kinds of layer: rope_parameters by kind (transformers 5), or rope_theta with
    rope_scaling, which concerns full attention alone, and rope_local_base_freq."""
    nested = c.section("rope_parameters") or ConfigReader(c.path, {})
    thetas = {_FULL: c.number("rope_theta", 1e6), _SLIDING: c.number("rope_local_base_freq", 10000.0)}
    scaling = {_FULL: c.section("rope_scaling"), _SLIDING: None}
    ropes = {}
    for kind, theta in thetas.items():
        section = scaling[kind] or nested.section(kind) or ConfigReader(c.path, {})
        ropes[kind] = Rope.from_section(c, section, f"rope_parameters.{kind}", positions, theta=theta)
    return ropes
