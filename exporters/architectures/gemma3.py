"""Gemma 3 (text): norms on queries and keys; five layers with a sliding window and short rotary waves, then one that
sees all tokens with long ones ("Gemma 3 Technical Report", arXiv 2503.19786).
"""

from __future__ import annotations

import math

from edge_runtime.config.heads import Heads
from edge_runtime.config.reader import ConfigReader
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import FULL, SLIDING, CausalLM, layer_types, refuse_bidirectional, windows
from exporters.blocks.attention import HeadNorm, SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Gemma 3 text checkpoint."""
    c = checkpoint.config
    refuse_bidirectional(c)
    c.get("hidden_act")  # stated beside hidden_activation, which alone counts
    activation = c.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    heads, inner = Heads.read(c, 256, kv_heads=4), c.integer("intermediate_size")
    epsilon = c.number("rms_norm_eps", 1e-6)
    bias, scale = c.flag("attention_bias", False), 1 / math.sqrt(c.number("query_pre_attn_scalar", 256))
    logit_cap = c.nullable_number("final_logit_softcapping", None)
    m = CausalLM(checkpoint, heads, positions=131072, tied=True)
    pattern = c.integer("sliding_window_pattern", 6)

    def slides(layer: int) -> bool:
        return (layer + 1) % pattern != 0

    kinds, ropes = layer_types(c, m, slides), _ropes(c, m.positions)
    rotary = m.rotaries({kind: ropes[kind] for kind in dict.fromkeys(kinds)})
    window = windows(c, m, c.nullable_integer("sliding_window", 4096), slides)

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
    """Return the waves of both kinds of layer, as transformers 5 reads them: rope_parameters by kind; rope_scaling, for
    full attention alone, changes what is there; rope_theta and rope_local_base_freq stand in for a missing theta."""
    nested, scaling = c.section("rope_parameters"), c.section("rope_scaling")
    sections = {kind: nested.section(kind) if nested else None for kind in (FULL, SLIDING)}
    if scaling is not None:
        stated = sections[FULL] if nested else ConfigReader(c.path, {"rope_type": "default"})
        sections[FULL] = scaling.over(stated) if stated else scaling
    thetas = {FULL: c.number("rope_theta", 1e6), SLIDING: c.number("rope_local_base_freq", 10000.0)}
    return {
        kind: Rope.from_section(c, section or ConfigReader(c.path, {}), positions, theta=thetas[kind], kind=kind)
        for kind, section in sections.items()
    }
