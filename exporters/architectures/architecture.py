"""What a family makes of a checkpoint: the graph, and what describes it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.config.decoder import Decoder
from exporters.graphs.builder import Graph


@dataclass(frozen=True)
class Architecture:
    """A model ready to be written: its graph, what describes it, and tensors of the checkpoint that it does not use."""

    model_type: str
    graph: Graph
    decoder: Decoder
    ignored: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
