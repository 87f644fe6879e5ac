"""OPT: learned positions, layer norms with biases, full attention, a ReLU MLP, the head tied to the embedding.

Zhang et al., "OPT: Open Pre-trained Transformer Language Models" (arXiv 2205.01068). The 350M model norms after each
sub-layer, and its embedding is narrower than its hidden state.
"""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM, prefix_of
from exporters.blocks.attention import SelfAttention
from exporters.blocks.layers import ACTIVATIONS, MLP, Embedding, LayerNorm, Linear
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.graphs.interface import Value

_EPSILON = 1e-5
_POSITION_OFFSET = 2


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of an OPT checkpoint."""
    c = checkpoint.config
    activation, inner = c.choice("activation_function", ACTIVATIONS, "relu"), c.integer("ffn_dim")
    bias, before = c.flag("enable_bias", True), c.flag("do_layer_norm_before", True)
    if not c.flag("layer_norm_elementwise_affine", True):
        raise c.error("layer_norm_elementwise_affine", False, "true")
    last_norm = not c.flag("_remove_final_layer_norm", False) and before
    heads = Heads.even(c)
    width = c.integer("word_embed_proj_dim", heads.hidden)
    root = prefix_of(checkpoint, "embed_tokens.weight", ("model.decoder.", "decoder."))
    m = CausalLM(checkpoint, heads, positions=2048, tied=True, embedding=f"{root}embed_tokens")

    def norm(name: str) -> LayerNorm:
        return LayerNorm(m.g, name, heads.hidden, _EPSILON)

    x = m.residual(_embed(m, root, width))
    for _, name in m.blocks(f"{root}layers"):
        attention = SelfAttention(m.g, f"{name}.self_attn", heads, bias=bias, out="out_proj")
        up = Linear(m.g, f"{name}.fc1", heads.hidden, inner, bias)
        mlp = MLP(m.g, name, up, Linear(m.g, f"{name}.fc2", inner, heads.hidden, bias), activation)
        attention_norm, mlp_norm = norm(f"{name}.self_attn_layer_norm"), norm(f"{name}.final_layer_norm")
        if before:
            x.add(attention(x.normed(attention_norm), m.io))
            x.add(mlp(x.normed(mlp_norm)))
        else:
            x.add(attention(x.value(), m.io))
            x = m.residual(x.normed(attention_norm))
            x.add(mlp(x.value()))
            x = m.residual(x.normed(mlp_norm))
    y = x.normed(norm(f"{root}final_layer_norm")) if last_norm else x.value()
    if width != heads.hidden:
        y = Linear(m.g, f"{root}project_out", heads.hidden, width)(y)
    return m.finish(y, width=width)


def _embed(m: CausalLM, root: str, width: int) -> Value:
    """Tokens, widened if their table is narrower, plus positions, whose table begins with two unused rows."""
    g, hidden = m.g, m.heads.hidden
    x = m.embed(width=width)
    if width != hidden:
        x = Linear(g, f"{root}project_in", width, hidden)(x)
    rows = g.op("Add", m.io.position_ids, g.integers(_POSITION_OFFSET), at=f"{root}embed_positions")
    positions = Embedding(g, f"{root}embed_positions", m.positions + _POSITION_OFFSET, hidden)(rows)
    return g.op("Add", x, positions, at=f"{root}embed_positions")
