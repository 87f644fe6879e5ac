"""Qwen2 and Qwen2.5: a Llama with biases on queries, keys and values (arXiv 2407.10671, 2412.15115).

The layers from max_window_layers on have a sliding window if use_sliding_window says so.
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
    """Build the graph of a Qwen2 checkpoint."""
    c = checkpoint.config
    activation = c.choice("hidden_act", ACTIVATIONS, "silu")
    heads, inner, epsilon = Heads.read(c, kv_heads=32), c.integer("intermediate_size"), c.number("rms_norm_eps", 1e-6)
    m = CausalLM(checkpoint, heads, positions=32768)
    rotary = m.rotary(Rope.from_config(c, m.positions))
    size, first = c.nullable_integer("sliding_window", 4096), c.integer("max_window_layers", 28, at_least=0)
    window = windows(c, m, size if c.flag("use_sliding_window", False) else None, lambda layer: layer >= first)

    x = m.residual(m.embed())
    for i, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=True, out_bias=False)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, activation=activation)
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(attention(x.normed(input_norm), m.io, rotary, window[i]))
        x.add(mlp(x.normed(post_norm)))
    return m.finish(x.normed(RMSNorm(m.g, "model.norm", heads.hidden, epsilon)))
