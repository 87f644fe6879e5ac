"""StableLM: layer norms, a quarter of each head rotated, a SiLU-gated MLP, on request beside the attention.

Bellagente et al., "Stable LM 2 1.6B Technical Report" (arXiv 2402.17834).
"""

from __future__ import annotations

import numpy as np

from edge_runtime.config.heads import Heads
from edge_runtime.config.reader import ConfigReader
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import MORE_THAN_TENSORS, CausalLM
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, GatedMLP, LayerNorm
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.graphs.builder import Graph
from exporters.graphs.interface import Value


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a StableLM checkpoint."""
    c = checkpoint.config
    activation, inner = c.choice("hidden_act", ACTIVATIONS, "silu"), c.integer("intermediate_size")
    heads, epsilon = _heads(c), c.number("layer_norm_eps", 1e-5)
    bias, head_norms = c.flag("use_qkv_bias", False), c.flag("qk_layernorm", False)
    if head_norms:
        c.integer("num_attention_heads", at_most=len(checkpoint.tensors), why=MORE_THAN_TENSORS)
    parallel = c.flag("use_parallel_residual", False)
    m = CausalLM(checkpoint, heads, positions=4096)
    rotary = m.rotary(Rope.from_config(c, m.positions, partial=0.25))

    x = m.residual(m.embed())
    for _, name in m.blocks():
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=bias, out_bias=False)
        if head_norms:
            attention.q_norm = NormPerHead(m.g, f"{name}.self_attn.q_layernorm", heads.heads, heads.head_dim, epsilon)
            attention.k_norm = NormPerHead(
                m.g, f"{name}.self_attn.k_layernorm", heads.kv_heads, heads.head_dim, epsilon
            )
        mlp = GatedMLP(m.g, f"{name}.mlp", heads.hidden, inner, activation=activation)
        h = x.normed(LayerNorm(m.g, f"{name}.input_layernorm", heads.hidden, epsilon))
        x.add(attention(h, m.io, rotary))
        if not parallel:
            h = x.normed(LayerNorm(m.g, f"{name}.post_attention_layernorm", heads.hidden, epsilon))
        x.add(mlp(h))
    return m.finish(x.normed(LayerNorm(m.g, "model.norm", heads.hidden, epsilon)))


def _heads(c: ConfigReader) -> Heads:
    heads = Heads.even(c)
    if c.get("head_dim", heads.head_dim) != heads.head_dim:
        raise c.error("head_dim", c.get("head_dim"), f"{heads.head_dim}: hidden_size / num_attention_heads")
    return heads.shared(c, c.nullable_integer("num_key_value_heads", 32) or heads.heads)


class NormPerHead:
    """A layer norm of every head, each with a weight of its own."""

    def __init__(self, g: Graph, name: str, heads: int, head_dim: int, epsilon: float) -> None:
        self.g, self.name, self.heads, self.head_dim, self.epsilon = g, name, heads, head_dim, epsilon

    def __call__(self, x: Value) -> Value:
        g, at = self.g, self.name
        weights = [g.parameter(f"{at}.norms.{head}.weight", (self.head_dim,)) for head in range(self.heads)]
        x = g.op("Reshape", x, g.integers(0, 0, self.heads, self.head_dim), at=at)
        ones = g.constant(f"ones_{self.head_dim}", np.ones(self.head_dim, np.float32))
        x = g.op("LayerNormalization", x, ones, at=at, axis=-1, epsilon=self.epsilon)
        x = g.op("Reshape", x, g.integers(0, 0, self.heads * self.head_dim), at=at)
        return g.op("Mul", x, g.op("Concat", *weights, at=at, axis=0), at=at)
