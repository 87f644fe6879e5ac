"""Gemma 2: norms before and after each sub-layer, every other layer with a sliding window, capped scores and logits.

Riviere et al., "Gemma 2: Improving Open Language Models at a Practical Size" (arXiv 2408.00118).
"""

from __future__ import annotations

import math

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM, refuse_bidirectional, windows
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Gemma 2 checkpoint."""
    c = checkpoint.config
    refuse_bidirectional(c)
    c.get("hidden_act")  # stated beside hidden_activation, which alone counts
    activation = c.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    heads, inner = Heads.read(c, 256, kv_heads=4), c.integer("intermediate_size")
    epsilon = c.number("rms_norm_eps", 1e-6)
    bias, scale = c.flag("attention_bias", False), 1 / math.sqrt(c.number("query_pre_attn_scalar", 256))
    score_cap = c.nullable_number("attn_logit_softcapping", 50.0)
    logit_cap = c.nullable_number("final_logit_softcapping", 30.0)
    m = CausalLM(checkpoint, heads, positions=8192, tied=True)
    rotary = m.rotary(Rope.from_config(c, m.positions))
    window = windows(c, m, c.nullable_integer("sliding_window", 4096), lambda layer: layer % 2 == 0)

    def norm(name: str) -> RMSNorm:
        return RMSNorm(m.g, name, heads.hidden, epsilon, offset=1.0)

    x = m.residual(m.embed(scale=math.sqrt(heads.hidden)))
    for i, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=bias, scale=scale, softcap=score_cap)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, activation=activation)
        y = attention(x.normed(norm(f"{name}.input_layernorm")), m.io, rotary, window[i])
        x.add(norm(f"{name}.post_attention_layernorm")(y))
        y = mlp(x.normed(norm(f"{name}.pre_feedforward_layernorm")))
        x.add(norm(f"{name}.post_feedforward_layernorm")(y))
    return m.finish(x.normed(norm("model.norm")), softcap=logit_cap)
