"""Mistral: a Llama whose attention sees a sliding window (Jiang et al., "Mistral 7B", arXiv 2310.06825).

With layer_types it is what transformers calls Ministral: only the layers that are named so have the window.
"""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM, windows
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Mistral checkpoint."""
    c = checkpoint.config
    activation = c.choice("hidden_act", ACTIVATIONS, "silu")
    heads, inner, epsilon = Heads.read(c, kv_heads=8), c.integer("intermediate_size"), c.number("rms_norm_eps", 1e-6)
    m = CausalLM(checkpoint, heads, positions=131072)
    rotary = m.rotary(Rope.from_config(c, m.positions))
    size = c.nullable_integer("sliding_window", 4096)
    window = windows(c, m, size, lambda layer: size is not None)

    x = m.residual(m.embed())
    for i, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, activation=activation)
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(attention(x.normed(input_norm), m.io, rotary, window[i]))
        x.add(mlp(x.normed(post_norm)))
    return m.finish(x.normed(RMSNorm(m.g, "model.norm", heads.hidden, epsilon)))
