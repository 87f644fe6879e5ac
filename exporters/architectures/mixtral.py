"""Mixtral: a Mistral with a mixture of experts in place of the MLP (Jiang et al., arXiv 2401.04088).

Every expert is three tensors of its own, so that those which are chosen can be fetched alone.
"""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import MORE_THAN_TENSORS, CausalLM, same_window
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, Linear, MixtureOfExperts, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Mixtral checkpoint."""
    c = checkpoint.config
    c.rename({"num_experts": "num_local_experts"})
    heads, epsilon = Heads.read(c, kv_heads=8), c.number("rms_norm_eps", 1e-5)
    m = CausalLM(checkpoint, heads, positions=131072)
    rotary = m.rotary(Rope.from_config(c, m.positions, theta=1e6))
    window = same_window(c, m, c.nullable_integer("sliding_window", None))

    x = m.residual(m.embed())
    for i, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads)
        experts = _experts(m, f"{name}.block_sparse_moe")
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(attention(x.normed(input_norm), m.io, rotary, window[i]))
        x.add(experts(x.normed(post_norm)))
    return m.finish(x.normed(RMSNorm(m.g, "model.norm", heads.hidden, epsilon)))


def _experts(m: CausalLM, name: str) -> MixtureOfExperts:
    g, c, hidden = m.g, m.checkpoint.config, m.heads.hidden
    activation, inner = c.choice("hidden_act", ACTIVATIONS, "silu"), c.integer("intermediate_size")
    stored, chosen = len(m.checkpoint.tensors), c.integer("num_experts_per_tok", 2)
    count = c.integer("num_local_experts", 8, at_most=stored, why=MORE_THAN_TENSORS)
    if chosen > count:
        raise c.error("num_experts_per_tok", chosen, f"at most num_local_experts, {count}")
    experts = [
        GatedMLP(g, f"{name}.experts.{e}", hidden, inner, activation=activation, names=("w1", "w3", "w2"))
        for e in range(count)
    ]
    return MixtureOfExperts(g, name, Linear(g, f"{name}.gate", hidden, count), experts, chosen, normalise=True)
