"""OLMo 2: norms after attention and MLP instead of before, and on all queries and keys together.

OLMo team, "2 OLMo 2 Furious" (arXiv 2501.00656).
"""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of an OLMo 2 checkpoint."""
    c = checkpoint.config
    activation, bias = c.choice("hidden_act", ACTIVATIONS, "silu"), c.flag("attention_bias", False)
    heads, inner, epsilon = Heads.read(c), c.integer("intermediate_size"), c.number("rms_norm_eps", 1e-5)
    m = CausalLM(checkpoint, heads, positions=2048)
    rotary = m.rotary(Rope.from_config(c, m.positions))

    def norm(name: str, features: int) -> RMSNorm:
        return RMSNorm(m.g, name, features, epsilon)

    x = m.residual(m.embed())
    for _, name in m.blocks():
        q_norm, k_norm = norm(f"{name}.self_attn.q_norm", heads.q), norm(f"{name}.self_attn.k_norm", heads.kv)
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=bias, q_norm=q_norm, k_norm=k_norm)
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, activation=activation)
        y = attention(x.value(), m.io, rotary)
        x.add(norm(f"{name}.post_attention_layernorm", heads.hidden)(y))
        x.add(norm(f"{name}.post_feedforward_layernorm", heads.hidden)(mlp(x.value())))
    return m.finish(x.normed(norm("model.norm", heads.hidden)))
