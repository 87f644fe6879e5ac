"""Qwen3-MoE: Qwen3 with a mixture of experts in place of the MLP of most layers (arXiv 2505.09388).

Every expert is three tensors of its own, so that those which are chosen can be fetched alone.
"""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import MORE_THAN_TENSORS, CausalLM, same_window
from exporters.architectures.qwen3 import normed_attention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, Layer, Linear, MixtureOfExperts, RMSNorm
from exporters.checkpoints.checkpoint import Checkpoint


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Qwen3-MoE checkpoint."""
    c = checkpoint.config
    c.rename({"num_local_experts": "num_experts"})  # transformers 5's name
    bias, epsilon = c.flag("attention_bias", False), c.number("rms_norm_eps", 1e-6)
    heads = Heads.read(c, kv_heads=4)
    m = CausalLM(checkpoint, heads, positions=32768)
    rotary = m.rotary(Rope.from_config(c, m.positions))
    size = c.nullable_integer("sliding_window", 4096)
    window = same_window(c, m, size if c.flag("use_sliding_window", False) else None)

    x = m.residual(m.embed())
    for i, name in m.blocks():
        attention = normed_attention(m.g, f"{name}.self_attn", heads, bias, epsilon)
        input_norm = RMSNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon)
        post_norm = RMSNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon)
        x.add(attention(x.normed(input_norm), m.io, rotary, window[i]))
        x.add(_mlp(m, f"{name}.mlp", i)(x.normed(post_norm)))
    return m.finish(x.normed(RMSNorm(m.g, "model.norm", heads.hidden, epsilon)))


def _mlp(m: CausalLM, name: str, layer: int) -> Layer:
    """Experts in every decoder_sparse_step-th layer that mlp_only_layers does not name; else one MLP."""
    g, c, hidden, stored = m.g, m.checkpoint.config, m.heads.hidden, len(m.checkpoint.tensors)
    activation = c.choice("hidden_act", ACTIVATIONS, "silu")
    dense = c.get("mlp_only_layers", [])
    count = c.integer("num_experts", 128, at_least=0, at_most=stored, why=MORE_THAN_TENSORS)
    if layer in dense or count == 0 or (layer + 1) % c.integer("decoder_sparse_step", 1):
        return GatedMLP(g, name, hidden, c.integer("intermediate_size"), activation=activation)
    inner, chosen = c.integer("moe_intermediate_size", 768), c.integer("num_experts_per_tok", 8)
    if chosen > count:
        raise c.error("num_experts_per_tok", chosen, f"at most num_experts, {count}")
    router = Linear(g, f"{name}.gate", hidden, count)
    experts = [GatedMLP(g, f"{name}.experts.{e}", hidden, inner, activation=activation) for e in range(count)]
    return MixtureOfExperts(g, name, router, experts, chosen, c.flag("norm_topk_prob", False))
