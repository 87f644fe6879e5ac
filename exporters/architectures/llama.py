"""Llama: RMS norms before attention and MLP, rotary positions, grouped-query attention, a SiLU-gated MLP.

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (arXiv 2302.13971); Llama 2 (2307.09288) adds
grouped queries, Llama 3 (2407.21783) the frequency scaling. Keys and tensor names are those of transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporters.architectures import Architecture, Decoder
from exporters.checkpoint import Checkpoint
from exporters.config import ConfigReader
from exporters.graph import Graph, Value
from exporters.layers import (
    DecoderIO,
    Embedding,
    GatedMLP,
    GroupQueryAttention,
    Linear,
    RMSNorm,
    RotaryEmbedding,
    kv_width,
)
from exporters.rope import Rope

_EMBEDDING, _HEAD = "model.embed_tokens", "lm_head"


@dataclass(frozen=True)
class LlamaConfig:
    """config.json with the defaults of transformers' LlamaConfig."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope: Rope
    attention_bias: bool
    mlp_bias: bool
    tie_word_embeddings: bool

    @classmethod
    def read(cls, c: ConfigReader) -> LlamaConfig:
        """ConfigError for a value that is missing, impossible or not supported."""
        c.choice("hidden_act", ("silu", "swish"), "silu")
        hidden, heads = c.integer("hidden_size"), c.integer("num_attention_heads")
        kv_heads = c.integer("num_key_value_heads", heads)
        if heads % kv_heads:
            raise c.error("num_key_value_heads", kv_heads, f"a divisor of num_attention_heads, {heads}")
        if c.get("head_dim") is None and hidden % heads:
            raise c.error("hidden_size", hidden, f"a multiple of num_attention_heads, {heads}, or head_dim given")
        head_dim = c.integer("head_dim", hidden // heads)
        if head_dim % 2:
            raise c.error("head_dim", head_dim, "an even number: rotary positions turn pairs")
        positions = c.integer("max_position_embeddings", 2048)
        return cls(
            vocab_size=c.integer("vocab_size"),
            hidden_size=hidden,
            intermediate_size=c.integer("intermediate_size"),
            num_hidden_layers=c.integer("num_hidden_layers"),
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            head_dim=head_dim,
            max_position_embeddings=positions,
            rms_norm_eps=c.number("rms_norm_eps", 1e-6),
            rope=Rope.from_config(c, positions),
            attention_bias=c.flag("attention_bias", False),
            mlp_bias=c.flag("mlp_bias", False),
            tie_word_embeddings=c.flag("tie_word_embeddings", False),
        )


def build(checkpoint: Checkpoint) -> Architecture:
    """Build the graph of a Llama checkpoint."""
    c = LlamaConfig.read(checkpoint.config)
    tied, warnings = _is_tied(c, checkpoint)
    ignored = {name for name in checkpoint.tensors if name.endswith(".rotary_emb.inv_freq")}
    if tied:
        ignored.add(f"{_HEAD}.weight")
    decoder = Decoder(
        vocab_size=c.vocab_size,
        hidden_size=c.hidden_size,
        num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads,
        num_key_value_heads=c.num_key_value_heads,
        kv_head_dim=kv_width(c.head_dim),
        context_length=c.max_position_embeddings,
    )
    return Architecture("llama", _model(c, tied), decoder, frozenset(ignored), warnings)


def _is_tied(c: LlamaConfig, checkpoint: Checkpoint) -> tuple[bool, tuple[str, ...]]:
    """As transformers does it: a head that is stored and differs from the embedding is used, whatever config says."""
    head, table = f"{_HEAD}.weight", f"{_EMBEDDING}.weight"
    stored = head in checkpoint.tensors and table in checkpoint.tensors
    if not c.tie_word_embeddings or not stored or checkpoint.same_values(table, head):
        return c.tie_word_embeddings, ()
    return False, (f"tie_word_embeddings is true, but {head} differs from {table}: not tied",)


def _model(c: LlamaConfig, tied: bool) -> Graph:
    g = Graph("llama")
    io = DecoderIO(g, c.num_hidden_layers, c.num_key_value_heads, c.head_dim)
    rotary = RotaryEmbedding.make(g, c.rope, c.max_position_embeddings, c.head_dim)
    with g.layer("embed_tokens"):
        x = Embedding(g, _EMBEDDING, c.vocab_size, c.hidden_size)(io.input_ids)
    residual = ""
    for i in range(c.num_hidden_layers):
        with g.layer(f"layers.{i}"):
            x, residual = _block(g, f"model.layers.{i}", c, io, rotary, x, residual)
    with g.layer(_HEAD):
        x = RMSNorm(g, "model.norm", c.hidden_size, c.rms_norm_eps).add_last(x, residual)
        weight = f"{_EMBEDDING}.weight" if tied else ""
        logits = Linear(g, _HEAD, c.hidden_size, c.vocab_size, weight=weight)(x)
    io.finish(logits, c.vocab_size)
    return g


def _block(
    g: Graph, name: str, c: LlamaConfig, io: DecoderIO, rotary: RotaryEmbedding, x: Value, residual: Value
) -> tuple[Value, Value]:
    """x = x + attention(norm(x)); x = x + mlp(norm(x)). The last sum is left to the next norm, which adds it."""
    attention = GroupQueryAttention(
        g, f"{name}.self_attn", c.hidden_size, c.num_attention_heads, c.num_key_value_heads, c.head_dim,
        c.attention_bias,
    )  # fmt: skip
    mlp = GatedMLP(g, f"{name}.mlp", c.hidden_size, c.intermediate_size, c.mlp_bias)
    input_norm = RMSNorm(g, f"{name}.input_layernorm", c.hidden_size, c.rms_norm_eps)
    post_norm = RMSNorm(g, f"{name}.post_attention_layernorm", c.hidden_size, c.rms_norm_eps)

    h, residual = input_norm.add(x, residual) if residual else (input_norm(x), x)
    h, residual = post_norm.add(attention(h, io, rotary), residual)
    return mlp(h), residual
