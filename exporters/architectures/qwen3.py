"""Qwen3: a Llama whose queries and keys are normed head by head before they are rotated (arXiv 2505.09388)."""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM, windows
from exporters.blocks.attention import HeadNorm, SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.graphs.builder import Graph


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Qwen3 checkpoint."""
    c = checkpoint.config
    activation, bias = c.choice("hidden_act", ACTIVATIONS, "silu"), c.flag("attention_bias", False)
    heads, inner = Heads.read(c, 128, kv_heads=32), c.integer("intermediate_size")
    epsilon = c.number("rms_norm_eps", 1e-6)
    m = CausalLM(checkpoint, heads, positions=32768)
    rotary = m.rotary(Rope.from_config(c, m.positions))
    size, first = c.nullable_integer("sliding_window", 4096), c.integer("max_window_layers", 28, at_least=0)
    window = windows(c, m, size if c.flag("use_sliding_window", False) else None, lambda layer: layer >= first)

    x = m.residual(m.embed())
    for i, name in m.blocks():
        attention = normed_attention(m.g, f"{name}.self_attn", heads, bias, epsilon)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, activation=activation)
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(attention(x.normed(input_norm), m.io, rotary, window[i]))
        x.add(mlp(x.normed(post_norm)))
    return m.finish(x.normed(RMSNorm(m.g, "model.norm", heads.hidden, epsilon)))


def normed_attention(g: Graph, name: str, heads: Heads, bias: bool, epsilon: float) -> SelfAttention:
    """Attention with an RMS norm on every head of queries and keys."""

    def norm(kind: str, count: int) -> HeadNorm:
        each = RMSNorm(g, f"{name}.{kind}", heads.head_dim, epsilon)
        return HeadNorm(g, f"{name}.{kind}", count, heads.head_dim, each)

    q_norm, k_norm = norm("q_norm", heads.heads), norm("k_norm", heads.kv_heads)
    return SelfAttention(g, name, heads, bias=bias, q_norm=q_norm, k_norm=k_norm)
