"""Gemma: scaled embeddings, norms that multiply by 1 + weight, a GELU-gated MLP, the head tied (arXiv 2403.08295)."""

from __future__ import annotations

import math

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM, refuse_bidirectional
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Gemma checkpoint."""
    c = checkpoint.config
    c.get("hidden_activation")  # stated beside hidden_act, which alone counts
    activation = c.choice("hidden_act", ACTIVATIONS, "gelu_pytorch_tanh")
    activation = "gelu_pytorch_tanh" if activation == "gelu" else activation  # which it always meant
    refuse_bidirectional(c)
    heads, inner = Heads.read(c, 256, kv_heads=16), c.integer("intermediate_size")
    epsilon = c.number("rms_norm_eps", 1e-6)
    bias = c.flag("attention_bias", False)
    m = CausalLM(checkpoint, heads, positions=8192, tied=True)
    rotary = m.rotary(Rope.from_config(c, m.positions))

    def norm(name: str) -> RMSNorm:
        return RMSNorm(m.g, name, heads.hidden, epsilon, offset=1.0)

    x = m.residual(m.embed(scale=math.sqrt(heads.hidden)))
    for _, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=bias)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, activation=activation)
        x.add(attention(x.normed(norm(f"{name}.input_layernorm")), m.io, rotary))
        x.add(mlp(x.normed(norm(f"{name}.post_attention_layernorm"))))
    return m.finish(x.normed(norm("model.norm")))
