"""What a family makes of a checkpoint: the graph, and what describes it."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.graphs.builder import Graph


@dataclass(frozen=True)
class Decoder:
    """What every decoder-only family has; `kv_head_dim` is the width of a head in the KV cache.

    `context_length` is the largest number of positions, `usual_length` what config.json states of them: rotary scaling
    may extend it.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    kv_head_dim: int
    context_length: int
    usual_length: int


@dataclass(frozen=True)
class Architecture:
    """A model ready to be written: its graph, what describes it, and tensors of the checkpoint that it does not use."""

    model_type: str
    graph: Graph
    decoder: Decoder
    ignored: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
