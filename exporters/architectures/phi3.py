"""Phi-3, Phi-3.5 and Phi-4: a Llama whose products for queries, keys and values are one, and for gate and up too.

Abdin et al., "Phi-3 Technical Report" (arXiv 2404.14219). Long contexts use LongRoPE; Phi-4-mini rotates a part of
each head.
"""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import RECOMPUTED_AFTER, CausalLM, same_window
from exporters.blocks.attention import DecoderIO, GroupQueryAttention, RotaryEmbedding
from exporters.blocks.layers import ACTIVATIONS, Linear, RMSNorm, activate, split
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.graphs.builder import Graph
from exporters.graphs.interface import Value

_FIRST_NAMES = {"su": "longrope", "yarn": "longrope"}


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Phi-3 checkpoint."""
    c = checkpoint.config
    activation = c.choice("hidden_act", ACTIVATIONS, "silu")
    heads, inner, epsilon = Heads.read(c), c.integer("intermediate_size"), c.number("rms_norm_eps", 1e-5)
    m = CausalLM(checkpoint, heads, positions=4096)
    rope = Rope.from_config(c, m.positions, partial=1.0, trained=4096, names=_FIRST_NAMES)
    rotary = m.rotary(rope)
    if rope.longrope and rope.longrope.original_max_position_embeddings < m.positions:
        m.g.metadata[RECOMPUTED_AFTER] = str(rope.longrope.original_max_position_embeddings)
    window = same_window(c, m, c.nullable_integer("sliding_window", None))

    x = m.residual(m.embed())
    for i, name in m.blocks():
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(_attention(m.g, f"{name}.self_attn", heads, x.normed(input_norm), m.io, rotary, window[i]))
        x.add(_mlp(m.g, f"{name}.mlp", heads.hidden, inner, activation, x.normed(post_norm)))
    return m.finish(x.normed(RMSNorm(m.g, "model.norm", heads.hidden, epsilon)))


def _attention(
    g: Graph, name: str, heads: Heads, x: Value, io: DecoderIO, rotary: RotaryEmbedding, window: int
) -> Value:
    qkv = Linear(g, f"{name}.qkv_proj", heads.hidden, heads.q + 2 * heads.kv)(x)
    q, k, v = split(g, qkv, (heads.q, heads.kv, heads.kv), name)
    y = GroupQueryAttention(g, name, heads)(q, k, v, io, rotary, window)
    return Linear(g, f"{name}.o_proj", heads.q, heads.hidden)(y)


def _mlp(g: Graph, name: str, hidden: int, inner: int, activation: str, x: Value) -> Value:
    gate, up = split(g, Linear(g, f"{name}.gate_up_proj", hidden, 2 * inner)(x), (inner, inner), name)
    y = g.op("Mul", activate(g, activation, gate, name), up, at=name)
    return Linear(g, f"{name}.down_proj", inner, hidden)(y)
