"""Finds the weights of an ONNX graph, and puts Decompress nodes in their place."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import ExportError
from edge_runtime.package.manifest import OPERATOR_VERSION
from exporters.checkpoints.onnx_tensors import FLOATS, NUMPY, Constants, OnnxTensors
from exporters.graphs.interface import Extent, Parameter, Site, Weight
from exporters.graphs.nodes import FLOAT, INLINE_LIMIT, LPC, dequantize_linear, external_tensor, placed_scales

_OPSET_AXIS, _OPSET_BLOCKS = 13, 21  # of DequantizeLinear with a scale a row, and a block
_LEAST_ELEMENTS = 1024  # a blob takes at least a page of the file
_MOST_ABSORBED = 16  # Casts and Transposes between a weight and its consumer; a graph with a cycle has no end of them
_INLINE_BYTES = 1 << 20  # larger constants that were external stay external
# Operators that read packed or integer weights, and the input that is.
_BYTE_READERS = {
    "MatMulNBits": 1, "GatherBlockQuantized": 0, "MatMulBnb4": 1, "DequantizeLinear": 0, "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1, "DynamicQuantizeMatMul": 1,
}  # fmt: skip
_LAYER = re.compile(r"(?:layers?|blocks?|h)[._/](\d+)(?=[._/]|$)")
_OUTPUT_TYPES: dict[int, str] = {
    TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
}  # fmt: skip


@dataclass(frozen=True)
class Use:
    """One consumer of a weight: `value` is what it reads, after the nodes `absorbed`; `flipped` if those transpose."""

    value: str
    consumer: onnx.NodeProto
    absorbed: tuple[onnx.NodeProto, ...]
    flipped: bool
    element: int  # data type that the consumer reads

    @property
    def product(self) -> bool:
        """Whether the consumer multiplies with the matrix (and does not look rows up)."""
        return self.consumer.op_type in ("MatMul", "Gemm")

    @property
    def rows_are_outputs(self) -> bool:
        """Whether the initializer's own rows are the product's outputs."""
        transposed = _attribute(self.consumer, "transB", 0) if self.consumer.op_type == "Gemm" else 0
        return bool(transposed) != self.flipped


class OnnxGraph:
    """The model's own graph, whose weights are told where they went."""

    def __init__(self, model: onnx.ModelProto, tensors: OnnxTensors) -> None:
        self._model, self._tensors = model, tensors
        self.layers: list[str] = []
        self.weights: dict[str, Weight] = {}
        self.parameters: dict[str, Parameter] = {}
        self.constants = Constants(tensors.constant)
        self._used: list[list[str]] = []
        self._protos = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes = list(model.graph.node)  # kept: nodes are told apart by identity
        self._consumers = _consumers(self._nodes)
        self._uses: dict[str, list[Use]] = {}
        self._turned: set[str] = set()
        self._blobs: dict[str, dict[str, Any]] = {}
        self._placed: dict[str, TensorProto] = {}
        self._groups: dict[str, int] = {}  # of weights that became int8
        self._find()

    def used_in(self, layer: int) -> list[str]:
        """Return the weights that a layer uses."""
        return list(self._used[layer])

    def place(self, tensor: str, extent: Extent, dtype: str, codec: str) -> None:
        """Tell where the blob of a weight lies and what it holds."""
        self._placed[tensor] = external_tensor(tensor, TensorProto.UINT8, [extent.length], extent)
        self._blobs[tensor] = {"dtype": dtype, "codec": codec}

    def place_constant(self, name: str, extent: Extent) -> None:
        """Tell where a constant, or a weight that was left uncompressed, lies."""
        kind, dims = FLOAT, self.constants[name].shape if name in self.constants else ()
        if name in self._protos:
            kind, dims = self._protos[name].data_type, tuple(self._protos[name].dims)
        self._placed[name] = external_tensor(name, kind, dims, extent)

    def factors(self) -> set[str]:
        """Return the weights that products use, in float32 and with rows that are outputs."""
        return {n for n, uses in self._uses.items() if n in self.weights and any(use.product for use in uses)}

    def use_count(self, tensor: str) -> int:
        """How many nodes use a weight."""
        return len(self._uses[tensor])

    def sites(self) -> Sequence[Site]:
        """None: what makes a product's input is not known in another tool's graph."""
        return ()

    def store_by_output(self, tensor: str) -> bool:
        """Never another way: a factor is stored by output from the beginning, unless rows of it are looked up too."""
        return False

    def dequantize(self, tensor: str, group: int) -> None:
        """Make a weight int8 with scales, which `fill_scales` gives later; `group` as in dequantize_linear.

        ExportError where the model's opset does not have that.
        """
        needed = _OPSET_BLOCKS if group > 0 else _OPSET_AXIS
        opset = max((entry.version for entry in self._model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
        if opset < needed:
            raise ExportError(
                f"{self._tensors.path}: has opset {opset}, but DequantizeLinear with these scales needs {needed}; "
                "export the model anew with it" + (", or use --granularity row" if group > 0 and opset >= 13 else "")
            )
        self._groups[tensor] = group

    def fill_scales(self, tensor: str, scales: NDArray[np.float32]) -> int:
        """Give the scales of `dequantize`: [], [rows] or [rows, groups]; returns the bytes that they take."""
        placed = placed_scales(tensor, scales, [self._is_flipped(tensor, use) for use in self._uses[tensor]])
        for name, array in placed.items():
            if array.nbytes > INLINE_LIMIT:
                self.constants[name] = array
            else:
                self._placed[name] = numpy_helper.from_array(array, name)
        return scales.nbytes * len(placed)

    def fill(self, tensor: str, array: NDArray[np.float32]) -> None:
        """Never called: an ONNX graph has its small tensors already."""
        raise AssertionError(tensor)

    def model(self, producer: str, version: str) -> onnx.ModelProto:
        """Return the model with a Decompress node before every consumer of a compressed weight."""
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        graph = result.graph
        before, gone, renamed = self._replacements()
        del graph.node[:]
        for node in self._nodes:
            if id(node) in gone:
                continue
            graph.node.extend(before.get(id(node), []))
            copy = graph.node.add()
            copy.CopyFrom(node)
            for position, value in renamed.get(id(node), {}).items():
                copy.input[position] = value
        del graph.initializer[:]
        for name in self._protos:
            placed = self._placed.get(name)
            graph.initializer.append(self._tensors.inline(self._protos[name]) if placed is None else placed)
        graph.initializer.extend(tensor for name, tensor in self._placed.items() if name not in self._protos)
        _drop(graph.input, self._blobs)
        _drop(graph.value_info, self._blobs)
        result.producer_name, result.producer_version = producer, version
        if self._blobs:
            _set_operators(result.opset_import)
        return result

    # ---- finding ----

    def _find(self) -> None:
        """Collect the weights in the order of use and give each a layer."""
        used_by: dict[int, list[str]] = defaultdict(list)
        for name in self._protos:
            self._uses[name] = self._uses_of(name)
            for use in self._uses[name]:
                used_by[id(use.consumer)].append(name)
        for node in self._nodes:
            for name in used_by[id(node)]:
                self._use(name, _layer_name(name, node))
        for name, proto in self._protos.items():
            if name not in self.weights and self._tensors.external_bytes(proto) > _INLINE_BYTES:
                self.constants.add(name)

    def _use(self, name: str, layer: str) -> None:
        """Note that a layer uses a weight; the first use of a layer gives it its place."""
        if layer not in self.layers:
            self.layers.append(layer)
            self._used.append([])
        index = self.layers.index(layer)
        if name not in self._used[index]:
            self._used[index].append(name)
        if name not in self.weights:
            self._add(name, self._uses[name], index)

    def _uses_of(self, name: str) -> list[Use]:
        """Return every consumer of an initializer, or none if one of them is not known."""
        proto = self._protos[name]
        elements = math.prod(proto.dims)
        if proto.data_type not in NUMPY or elements < _LEAST_ELEMENTS or len(proto.dims) > 4:
            return []
        if proto.data_type in (TensorProto.UINT8, TensorProto.INT8):
            return self._byte_uses(name, proto.data_type)
        if len(proto.dims) != 2:
            return []
        uses: list[Use] = []
        complete = self._follow(name, (), False, proto.data_type, uses)
        return uses if complete else []

    def _byte_uses(self, name: str, element: int) -> list[Use]:
        """Packed weights: every consumer reads the same bytes."""
        consumers = self._consumers[name]
        reads = [node for node, position in consumers if _BYTE_READERS.get(node.op_type) == position]
        if not reads or any(node is None for node, _ in consumers):
            return []
        return [Use(name, node, (), False, element) for node, _ in consumers]  # others reshape what the first reads

    def _follow(
        self, value: str, absorbed: tuple[onnx.NodeProto, ...], flipped: bool, element: int, uses: list[Use]
    ) -> bool:
        """Add the consumers of `value`; False if one is none that can be served."""
        if len(absorbed) > _MOST_ABSORBED or any(output.name == value for output in self._model.graph.output):
            return False
        for node, position in self._consumers[value]:
            if node is None:
                return False
            if node.op_type == "Transpose" and node.domain == "" and list(_attribute(node, "perm", [1, 0])) == [1, 0]:
                if not self._follow(node.output[0], (*absorbed, node), not flipped, element, uses):
                    return False
            elif node.op_type == "Cast" and node.domain == "" and _attribute(node, "to", 0) == TensorProto.FLOAT:
                if not self._follow(node.output[0], (*absorbed, node), flipped, TensorProto.FLOAT, uses):
                    return False
            elif node.domain == "" and _is_consumer(node, position):
                uses.append(Use(value, node, absorbed, flipped, element))
            else:
                return False
        return True

    def _add(self, name: str, uses: list[Use], layer: int) -> None:
        """Choose how the weight is stored: rows are what is looked up, or else a product's outputs."""
        matrix = len(self._protos[name].dims) == 2 and self._protos[name].data_type in FLOATS
        look_ups = [use for use in uses if matrix and not use.product]
        turned = matrix and (look_ups[0].flipped if look_ups else not uses[0].rows_are_outputs)
        if turned:
            self._turned.add(name)
        info = self._tensors.add(name, turned)
        fixed = any(use.element != TensorProto.FLOAT for use in uses)
        self.weights[name] = Weight(name, info.shape, layer, bool(look_ups), fixed)

    # ---- replacing ----

    def _replacements(
        self,
    ) -> tuple[dict[int, list[onnx.NodeProto]], set[int], dict[int, dict[int, str]]]:
        """Return new nodes by the node they go before, nodes that go, and new inputs; nodes by identity."""
        before: dict[int, list[onnx.NodeProto]] = defaultdict(list)
        gone: set[int] = set()
        renamed: dict[int, dict[int, str]] = defaultdict(dict)
        for name in self._blobs:
            shared = name if self.weights[name].fixed and not self._is_matrix(name) else ""
            for number, use in enumerate(self._uses[name]):
                value = f"{name}/Decompress" + (f"_{number}" if number and not shared else "")
                if not shared or number == 0:
                    before[id(use.consumer)].extend(self._decompress(name, use, value))
                for position, read in enumerate(use.consumer.input):
                    if read == use.value:
                        renamed[id(use.consumer)][position] = value
                gone.update(id(node) for node in use.absorbed)
        return before, gone, renamed

    def _is_matrix(self, name: str) -> bool:
        return self._protos[name].data_type in FLOATS

    def _decompress(self, name: str, use: Use, value: str) -> list[onnx.NodeProto]:
        """Return the node that decodes a weight for one use, and before it what makes its token, if anything does.

        A float16 token would make onnxruntime take the node for one that it may compute in float32, so there the
        token is the activation's shape.
        """
        weight = self.weights[name]
        token = use.consumer.input[0] if use.product or use.consumer.op_type == "MatMulNBits" else ""
        attributes: dict[str, Any] = {
            "tensor": name, "shape": list(weight.shape), "layer": self._layer_of(name, use), **self._blobs[name],
            "transpose": int(self._is_flipped(name, use)),
        }  # fmt: skip
        if use.element != TensorProto.FLOAT:
            attributes["to"] = _OUTPUT_TYPES[use.element]
        nodes = []
        if token and use.element in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
            nodes.append(helper.make_node("Shape", [token], [f"{value}/token"], name=f"{value}/token"))
            token = f"{value}/token"
        inputs, decoded = [name, token] if token else [name], value
        if name in self._groups:
            attributes["to"], decoded = "int8", f"{value}:int8"
        nodes.append(helper.make_node("Decompress", inputs, [decoded], name=value, domain=LPC, **attributes))
        if name in self._groups:
            at, turned = f"{value}/DequantizeLinear", bool(attributes["transpose"])
            nodes.append(dequantize_linear(decoded, name, value, at, self._groups[name], turned))
        return nodes

    def _is_flipped(self, name: str, use: Use) -> bool:
        """Whether a consumer reads the transpose of what is stored."""
        return use.flipped != (name in self._turned)

    def _layer_of(self, name: str, use: Use) -> int:
        return self.layers.index(_layer_name(name, use.consumer))


def _consumers(nodes: Sequence[onnx.NodeProto]) -> dict[str, list[tuple[Any, int]]]:
    """Return (node, input position) by value; None for a node inside a nested graph, which is left alone."""
    result: dict[str, list[tuple[Any, int]]] = defaultdict(list)

    def nested(inner: onnx.GraphProto) -> None:
        for node in inner.node:
            for value in node.input:
                result[value].append((None, 0))
            visit_attributes(node)

    def visit_attributes(node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                nested(inner)

    for node in nodes:
        for position, value in enumerate(node.input):
            result[value].append((node, position))
        visit_attributes(node)
    return result


def _is_consumer(node: onnx.NodeProto, position: int) -> bool:
    if node.op_type == "Gather":
        return position == 0 and _attribute(node, "axis", 0) == 0
    return node.op_type in ("MatMul", "Gemm") and position == 1


def _layer_name(name: str, node: onnx.NodeProto) -> str:
    """Return "layers.3" for what belongs to a numbered layer, else the consumer's name, or the weight's own."""
    found = _LAYER.search(name) or _LAYER.search(node.name)
    return f"layers.{found[1]}" if found else node.name.strip("/") or name


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def _set_operators(opsets: Any) -> None:
    """Import our operators in the version that we write; a source may have declared another, and uses none."""
    kept = [opset for opset in opsets if opset.domain != LPC]
    del opsets[:]
    opsets.extend([*kept, helper.make_opsetid(LPC, OPERATOR_VERSION)])


def _drop(values: Any, names: Any) -> None:
    """Remove the entries of `names` from a repeated field of value descriptions."""
    kept = [value for value in values if value.name not in names]
    if len(kept) != len(values):
        del values[:]
        values.extend(kept)
