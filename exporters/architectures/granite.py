"""Granite 3: a Llama with multipliers on embeddings, scores, residuals and logits (IBM, "Granite 3.0", 2024)."""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, RMSNorm, scaled
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Granite checkpoint."""
    c = checkpoint.config
    activation = c.choice("hidden_act", ACTIVATIONS, "silu")
    heads, inner, epsilon = Heads.read(c), c.integer("intermediate_size"), c.number("rms_norm_eps", 1e-6)
    attention_bias, mlp_bias = c.flag("attention_bias", False), c.flag("mlp_bias", False)
    score_scale, share = c.number("attention_multiplier", 1.0), c.number("residual_multiplier", 1.0)
    m = CausalLM(checkpoint, heads, positions=2048)
    rotary = m.rotary(Rope.from_config(c, m.positions))

    x = m.residual(m.embed(scale=c.number("embedding_multiplier", 1.0)))
    for _, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=attention_bias, scale=score_scale)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, mlp_bias, activation)
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(scaled(m.g, attention(x.normed(input_norm), m.io, rotary), share, name))
        x.add(scaled(m.g, mlp(x.normed(post_norm)), share, name))
    last_norm = RMSNorm(m.g, "model.norm", heads.hidden, epsilon)
    return m.finish(x.normed(last_norm), scale=1 / c.number("logits_scaling", 1.0))
