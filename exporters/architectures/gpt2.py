"""GPT-2: learned positions, layer norms, one product for queries, keys and values, a GELU MLP, the head tied.

Radford et al., "Language Models are Unsupervised Multitask Learners" (2019). Its products store weights as [in, out].
"""

from __future__ import annotations

import dataclasses
import math

from edge_runtime.config.heads import Heads
from edge_runtime.config.reader import ConfigReader
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM, prefix_of
from exporters.blocks.attention import GroupQueryAttention
from exporters.blocks.layers import ACTIVATIONS, MLP, Conv1D, Embedding, LayerNorm, split
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.graphs.interface import Value

_OTHER_NAMES = {
    "hidden_size": "n_embd", "max_position_embeddings": "n_positions", "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}  # fmt: skip
_MASKS = (".attn.bias", ".attn.masked_bias")  # old checkpoints store the causal mask


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a GPT-2 checkpoint."""
    c = checkpoint.config
    c.rename(_OTHER_NAMES)
    activation, epsilon = c.choice("activation_function", ACTIVATIONS, "gelu_new"), c.number("layer_norm_epsilon", 1e-5)
    if c.flag("add_cross_attention", False):
        raise c.error("add_cross_attention", True, "false: this export has no encoder")
    heads = Heads.even(c, "n_embd", "n_head")
    inner = c.integer("n_inner", 4 * heads.hidden)
    root = prefix_of(checkpoint, "wte.weight", ("transformer.", ""))
    m = CausalLM(
        checkpoint, heads, positions=1024, tied=True, embedding=f"{root}wte", layers_key="n_layer",
        positions_key="n_positions",
    )  # fmt: skip

    tokens, positions = m.embed(), Embedding(m.g, f"{root}wpe", m.positions, heads.hidden)(m.io.position_ids)
    x = m.residual(m.g.op("Add", tokens, positions, at=f"{root}wpe"))
    for i, name in m.blocks(f"{root}h"):
        up = Conv1D(m.g, f"{name}.mlp.c_fc", heads.hidden, inner, bias=True)
        down = Conv1D(m.g, f"{name}.mlp.c_proj", inner, heads.hidden, bias=True)
        attention_norm = LayerNorm(m.g, f"{name}.ln_1", heads.hidden, epsilon)
        x.add(_attention(m, f"{name}.attn", _scale(c, heads, i), x.normed(attention_norm)))
        mlp = MLP(m.g, f"{name}.mlp", up, down, activation)
        x.add(mlp(x.normed(LayerNorm(m.g, f"{name}.ln_2", heads.hidden, epsilon))))
    model = m.finish(x.normed(LayerNorm(m.g, f"{root}ln_f", heads.hidden, epsilon)))
    masks = {name for name in checkpoint.tensors if name.endswith(_MASKS)}
    return dataclasses.replace(model, ignored=model.ignored | masks)


def _attention(m: CausalLM, name: str, scale: float, x: Value) -> Value:
    hidden = m.heads.hidden
    qkv = Conv1D(m.g, f"{name}.c_attn", hidden, 3 * hidden, bias=True)(x)
    q, k, v = split(m.g, qkv, (hidden, hidden, hidden), name)
    y = GroupQueryAttention(m.g, name, m.heads, scale)(q, k, v, m.io)
    return Conv1D(m.g, f"{name}.c_proj", hidden, hidden, bias=True)(y)


def _scale(c: ConfigReader, heads: Heads, layer: int) -> float:
    scale = 1 / math.sqrt(heads.head_dim) if c.flag("scale_attn_weights", True) else 1.0
    return scale / (layer + 1) if c.flag("scale_attn_by_inverse_layer_idx", False) else scale
