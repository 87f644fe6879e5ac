"""Nodes and initializers that graphs with compressed weights have, and what can be read from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge_runtime.package.manifest import OPERATOR_DOMAIN
from exporters.graphs.interface import DATA_FILE, Extent, Value

FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
MICROSOFT = "com.microsoft"
LPC = OPERATOR_DOMAIN
INLINE_LIMIT = 1 << 20  # larger constants go to the data file and keep the protobuf small


def products(nodes: Sequence[onnx.NodeProto]) -> dict[str, tuple[str, ...]]:
    """Return the activations that meet weights in products, each with those weights' tensors, in the order of use."""
    weights = {node.output[0]: node for node in nodes if node.domain == LPC}
    for node in nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    found: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            tensor = tensor_of(weights[node.input[1]])
            found[node.input[0]] = (*found.get(node.input[0], ()), tensor)
    return found


def dequantize_linear(
    integers: Value, tensor: str, output: Value, name: str, group: int, transposed: bool
) -> onnx.NodeProto:
    """Return the node that makes floats of a weight's integers, which are `transposed` to what is stored.

    `group` columns of a stored row share a scale; 0: the whole row; -1: the whole tensor.
    """
    attributes: dict[str, Any] = {}
    if group >= 0:
        attributes["axis"] = int(transposed) if group == 0 else int(not transposed)
    if group > 0:
        attributes["block_size"] = group
    inputs = [integers, _scales(tensor, transposed and group > 0)]
    return helper.make_node("DequantizeLinear", inputs, [output], name=name, **attributes)


def placed_scales(
    tensor: str, scales: NDArray[np.float32], transposed: Sequence[bool]
) -> dict[str, NDArray[np.float32]]:
    """Return the constants that a weight's `dequantize_linear` nodes read: scales are [], [rows] or [rows, groups]."""
    turned = {each and scales.ndim == 2 for each in transposed}
    return {_scales(tensor, each): np.ascontiguousarray(scales.T if each else scales) for each in sorted(turned)}


def _scales(tensor: str, transposed: bool) -> str:
    return f"{tensor}.scale.T" if transposed else f"{tensor}.scale"


def external_tensor(name: str, dtype: int, shape: Sequence[int], extent: Extent) -> TensorProto:
    """Return an initializer whose elements lie in the data file."""
    tensor = TensorProto(name=name, data_type=dtype, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", DATA_FILE), ("offset", extent.offset), ("length", extent.length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def tensor_of(decompress: onnx.NodeProto) -> str:
    """Return the name of the weight that a Decompress node decodes."""
    for entry in decompress.attribute:
        if entry.name == "tensor":
            name: str = helper.get_attribute_value(entry).decode()
            return name
    return str(decompress.input[0])
