"""Falcon: attention and MLP side by side on one norm or on two, few keys and values, one product for all three.

Almazrouei et al., "The Falcon Series of Open Language Models" (arXiv 2311.16867). Models with ALiBi instead of rotary
positions (falcon-rw) are refused.
"""

from __future__ import annotations

from edge_runtime.config.heads import Heads
from edge_runtime.config.reader import ConfigReader
from edge_runtime.config.rope import Rope
from exporters.architectures.architecture import Architecture
from exporters.architectures.causal_lm import CausalLM
from exporters.blocks.attention import GroupQueryAttention, RotaryEmbedding
from exporters.blocks.layers import ACTIVATIONS, MLP, LayerNorm, Linear, split
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.graphs.interface import Value


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Falcon checkpoint."""
    c = checkpoint.config
    c.rename({"n_embed": "hidden_size"})
    if c.flag("alibi", False):
        raise c.error("alibi", True, "false: this export has rotary positions only")
    activation, bias = c.choice("activation", ACTIVATIONS, "gelu"), c.flag("bias", False)
    parallel, epsilon = c.flag("parallel_attn", True), c.number("layer_norm_epsilon", 1e-5)
    two_norms = _has_two_norms(c, parallel)
    heads = _heads(c)
    inner = c.integer("ffn_hidden_size", 4 * heads.hidden)
    m = CausalLM(checkpoint, heads, positions=2048, tied=True, embedding="transformer.word_embeddings")
    rotary = m.rotary(Rope.from_config(c, m.positions))

    def norm(name: str) -> LayerNorm:
        return LayerNorm(m.g, name, heads.hidden, epsilon)

    x = m.residual(m.embed())
    for _, name in m.blocks("transformer.h"):
        up = Linear(m.g, f"{name}.mlp.dense_h_to_4h", heads.hidden, inner, bias)
        down = Linear(m.g, f"{name}.mlp.dense_4h_to_h", inner, heads.hidden, bias)
        h = x.normed(norm(f"{name}.ln_attn" if two_norms else f"{name}.input_layernorm"))
        beside = x.normed(norm(f"{name}.ln_mlp")) if two_norms else h
        x.add(_attention(m, f"{name}.self_attention", bias, h, rotary))
        if not parallel:
            beside = x.normed(norm(f"{name}.post_attention_layernorm"))
        x.add(MLP(m.g, f"{name}.mlp", up, down, activation)(beside))
    return m.finish(x.normed(norm("transformer.ln_f")))


def _attention(m: CausalLM, name: str, bias: bool, x: Value, rotary: RotaryEmbedding) -> Value:
    """One product gives, group after group, the queries that share a key, that key and its value."""
    g, heads = m.g, m.heads
    groups, queries = heads.kv_heads, heads.heads // heads.kv_heads
    qkv = Linear(g, f"{name}.query_key_value", heads.hidden, heads.q + 2 * heads.kv, bias)(x)
    qkv = g.op("Reshape", qkv, g.integers(0, 0, groups, (queries + 2) * heads.head_dim), at=name)
    pieces = split(g, qkv, (queries * heads.head_dim, heads.head_dim, heads.head_dim), name)
    q, k, v = (
        g.op("Reshape", piece, g.integers(0, 0, size), at=name)
        for piece, size in zip(pieces, (heads.q, heads.kv, heads.kv), strict=True)
    )
    y = GroupQueryAttention(g, name, heads)(q, k, v, m.io, rotary)
    return Linear(g, f"{name}.dense", heads.q, heads.hidden, bias)(y)


def _heads(c: ConfigReader) -> Heads:
    """The new architecture states its key-value heads; the old one has one (multi_query) or as many as queries."""
    heads, kv_heads = Heads.even(c), c.nullable_integer("num_kv_heads", None)
    multi_query, new = c.flag("multi_query", True), c.flag("new_decoder_architecture", False)
    if c.get("head_dim", heads.head_dim) != heads.head_dim:
        raise c.error("head_dim", c.get("head_dim"), f"{heads.head_dim}: hidden_size / num_attention_heads")
    if new:
        return heads.shared(c, kv_heads or heads.heads, "num_kv_heads")
    return heads.shared(c, 1) if multi_query else heads


def _has_two_norms(c: ConfigReader, parallel: bool) -> bool:
    new = c.flag("new_decoder_architecture", False)
    if new and not parallel:
        raise c.error("parallel_attn", False, "true with new_decoder_architecture")
    norms = c.integer("num_ln_in_parallel_attn", 2 if new else 1)
    if norms > 2 or (norms == 2 and not new):
        raise c.error("num_ln_in_parallel_attn", norms, "1, or 2 with new_decoder_architecture")
    return norms == 2
