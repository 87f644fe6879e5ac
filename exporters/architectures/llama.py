"""Llama: RMS norms before attention and MLP, rotary positions, grouped-query attention, a SiLU-gated MLP.

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (arXiv 2302.13971); Llama 2 (2307.09288) adds
grouped queries, Llama 3 (2407.21783) the frequency scaling. Keys and tensor names are those of transformers.
"""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import SILU, GatedMLP, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Llama checkpoint."""
    c = checkpoint.config
    c.choice("hidden_act", SILU, "silu")
    heads, inner, epsilon = Heads.read(c), c.integer("intermediate_size"), c.number("rms_norm_eps", 1e-6)
    attention_bias, mlp_bias = c.flag("attention_bias", False), c.flag("mlp_bias", False)
    m = CausalLM(checkpoint, heads, positions=2048)
    rotary = m.rotary(Rope.from_config(c, m.positions))

    x = m.residual(m.embed())
    for _, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=attention_bias)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, mlp_bias)
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(attention(x.normed(input_norm), m.io, rotary))
        x.add(mlp(x.normed(post_norm)))
    return m.finish(x.normed(RMSNorm(m.g, "model.norm", heads.hidden, epsilon)))
