"""What a graph does with its weights: which are factors of products, and what makes the activations that they meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import helper

from edge_runtime.errors import ExportError
from exporters.graphs.builder import LPC, Graph, Value
from exporters.graphs.onnx_graph import OnnxGraph
from exporters.planning.plan import Plan

_RMS_NORMS = {"RMSNormalization": (1, None), "SkipSimplifiedLayerNormalization": (2, None)}
_LAYER_NORMS = {"LayerNormalization": (1, 2), "SkipLayerNormalization": (2, 3)}
_NORMS: dict[str, tuple[int, int | None]] = {**_RMS_NORMS, **_LAYER_NORMS}


@dataclass(frozen=True)
class NormFold:
    """The activations are a norm's: its weight, plus `offset`, and its bias take the factors."""

    weight: str
    bias: str | None
    offset: float


@dataclass(frozen=True)
class RowsFold:
    """The activations are a product's outputs, directly or through what a positive factor passes through.

    `tensor`'s stored rows and `bias` take the factors. `heads`, if given, are (queries, keys and values, head size) of
    an attention between them: its outputs repeat the values of a head for several queries.
    """

    tensor: str
    bias: str | None
    heads: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Site:
    """Activations `x` of the graph and the weights that multiply them; `fold` where their channels can be rescaled."""

    x: Value
    tensors: tuple[str, ...]
    fold: NormFold | RowsFold | None


def products(nodes: Sequence[onnx.NodeProto]) -> dict[str, tuple[str, ...]]:
    """Return the activations that meet weights in products, each with those weights' tensors, in the order of use."""
    weights = {node.output[0]: node for node in nodes if node.domain == LPC}
    for node in nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    found: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            tensor = _tensor(weights[node.input[1]])
            found[node.input[0]] = (*found.get(node.input[0], ()), tensor)
    return found


def changeable(plan: Plan) -> Graph | OnnxGraph:
    """Return the graph of a plan; ExportError if its weights are integers already, or floats that the graph fixes."""
    graph = plan.graph
    assert isinstance(graph, Graph | OnnxGraph)
    fixed = next((weight.tensor for weight in graph.weights.values() if weight.fixed), None)
    if fixed is not None:
        info = plan.tensors.tensors[fixed]
        raise ExportError(
            f"{info.file}: {fixed} is {info.dtype}, and the graph takes just that: quantization and pruning expected "
            "weights that are multiplied in float32"
        )
    return graph


def factors_of(graph: Graph | OnnxGraph) -> set[str]:
    """Return the weights that products use."""
    if isinstance(graph, OnnxGraph):
        return graph.factors()
    return {tensor for tensors in products(graph.nodes).values() for tensor in tensors}


def sites(graph: Graph) -> list[Site]:
    """Return every place where activations meet weights."""
    finder = _Finder(graph)
    return [Site(x, tensors, finder.fold(x, tensors)) for x, tensors in products(graph.nodes).items()]


class _Finder:
    """Looks for what made some activations."""

    def __init__(self, graph: Graph) -> None:
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
        shared = any(len(self._graph.uses(tensor)) > 1 for tensor in tensors)
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
        if decompress is None or decompress.domain != LPC or len(self._graph.uses(_tensor(decompress))) != 1:
            return None
        return RowsFold(_tensor(decompress), bias, heads)

    def _values(self, node: onnx.NodeProto) -> RowsFold | None:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        fold = self._rows(node.input[2])
        if fold is None:
            return None
        weight = self._graph.weights[fold.tensor]
        kv_heads = int(attributes["kv_num_heads"])
        outputs = weight.shape[0] if self._graph.is_transposed(fold.tensor) else weight.shape[1]
        return RowsFold(fold.tensor, fold.bias, (int(attributes["num_heads"]), kv_heads, outputs // kv_heads))


def _tensor(decompress: onnx.NodeProto) -> str:
    for entry in decompress.attribute:
        if entry.name == "tensor":
            name: str = helper.get_attribute_value(entry).decode()
            return name
    return str(decompress.input[0])


__all__ = ["NormFold", "RowsFold", "Site", "changeable", "factors_of", "products", "sites"]
