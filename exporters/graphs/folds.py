"""What makes the activations that weights meet, and so where the factors of their channels can go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import onnx
from numpy.typing import NDArray
from onnx import helper

from exporters.graphs.interface import NormFold, Parameter, RowsFold, Site, Value, Weight
from exporters.graphs.nodes import LPC, products, tensor_of

_RMS_NORMS = {"RMSNormalization": (1, None), "SkipSimplifiedLayerNormalization": (2, None)}
_LAYER_NORMS = {"LayerNormalization": (1, 2), "SkipLayerNormalization": (2, 3)}
_NORMS: dict[str, tuple[int, int | None]] = {**_RMS_NORMS, **_LAYER_NORMS}


class Nodes(Protocol):
    """What a graph tells of its nodes."""

    weights: dict[str, Weight]
    parameters: dict[str, Parameter]

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """All of them, in the order of use."""

    def use_count(self, tensor: str) -> int:
        """How many nodes use a weight."""

    def is_transposed(self, tensor: str) -> bool:
        """Whether a weight's first use takes the stored matrix's rows as outputs."""

    def inline(self, name: str) -> NDArray[Any] | None:
        """Return a small constant; None if there is none of that name."""


def sites(graph: Nodes) -> list[Site]:
    """Return every place where activations meet weights."""
    finder = _Finder(graph)
    return [Site(x, tensors, finder.fold(x, tensors)) for x, tensors in products(graph.nodes).items()]


class _Finder:
    """Looks for what made some activations."""

    def __init__(self, graph: Nodes) -> None:
        self._graph = graph
        self._maker = {value: node for node in graph.nodes for value in node.output if value}
        self._users: dict[Value, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.nodes:
            for value in node.input:
                self._users[value].append(node)

    def fold(self, x: Value, tensors: Sequence[str]) -> NormFold | RowsFold | None:
        """Return where the factors of x's channels can go; None if something else sees x, or a weight is shared."""
        users = self._users[x]
        seen_by_weights = all(
            node.op_type == "MatMul" or (node.domain == LPC and node.op_type == "Decompress") for node in users
        )
        shared = any(self._graph.use_count(tensor) > 1 for tensor in tensors)
        maker = self._maker.get(x)
        if not seen_by_weights or shared or maker is None or maker.output[0] != x:
            return None
        if maker.op_type in _NORMS:
            return self._norm(maker)
        if maker.op_type == "Mul":
            return self._rows(maker.input[1])
        if maker.op_type == "Relu":
            return self._rows(maker.input[0])
        if maker.op_type == "GroupQueryAttention":
            return self._values(maker)
        return None

    def _norm(self, node: onnx.NodeProto) -> NormFold | None:
        weight_at, bias_at = _NORMS[node.op_type]
        weight, offset = node.input[weight_at], 0.0
        if weight not in self._graph.parameters:
            add = self._maker.get(weight)
            if add is None or add.op_type != "Add" or add.input[0] not in self._graph.parameters:
                return None
            constant = self._graph.inline(add.input[1])
            if constant is None or constant.size != 1:
                return None
            weight, offset = add.input[0], float(constant.reshape(()))
        bias = node.input[bias_at] if bias_at is not None and len(node.input) > bias_at else None
        if len(self._users[weight]) > 1:
            return None
        return NormFold(weight, bias or None, offset)

    def _rows(self, value: Value, heads: tuple[int, int, int] | None = None) -> RowsFold | None:
        """The product, with or without a bias, that made `value` and that nothing else sees."""
        bias = None
        node = self._maker.get(value)
        if node is not None and node.op_type == "Add" and node.input[1] in self._graph.parameters:
            bias, value = node.input[1], node.input[0]
            inner, node = node, self._maker.get(value)
            if len(self._users[inner.output[0]]) != 1 or len(self._users[bias]) != 1:
                return None
        if node is None or node.op_type != "MatMul" or len(self._users[value]) != 1:
            return None
        decompress = self._maker.get(node.input[1])
        if decompress is None or decompress.domain != LPC or self._graph.use_count(tensor_of(decompress)) != 1:
            return None
        return RowsFold(tensor_of(decompress), bias, heads)

    def _values(self, node: onnx.NodeProto) -> RowsFold | None:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        fold = self._rows(node.input[2])
        if fold is None:
            return None
        weight = self._graph.weights[fold.tensor]
        kv_heads = int(attributes["kv_num_heads"])
        outputs = weight.shape[0] if self._graph.is_transposed(fold.tensor) else weight.shape[1]
        return RowsFold(fold.tensor, fold.bias, (int(attributes["num_heads"]), kv_heads, outputs // kv_heads))
