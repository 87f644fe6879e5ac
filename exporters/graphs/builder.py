"""A small builder of ONNX graphs whose large weights are compressed blobs in an external file.

A graph is built before any weight is read: it records which tensors it needs, in the order of use. Once the weights
are written, `place` and `fill` tell where they went, and `model` returns the finished protobuf.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import ExportError
from edge_runtime.package.manifest import OPERATOR_VERSION
from exporters.graphs.folds import sites
from exporters.graphs.interface import Extent, Parameter, Site, Value, Weight
from exporters.graphs.nodes import (
    FLOAT,
    INLINE_LIMIT,
    LPC,
    MICROSOFT,
    dequantize_linear,
    external_tensor,
    placed_scales,
    products,
)

IR_VERSION = 10
OPSETS = {"": 23, MICROSOFT: 1, LPC: OPERATOR_VERSION}


class Graph:
    """Collects nodes, constants and the weights that they use."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.layers: list[str] = []
        self._used: list[list[str]] = []
        self.weights: dict[str, Weight] = {}
        self.parameters: dict[str, Parameter] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.metadata: dict[str, str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._values: list[onnx.ValueInfoProto] = []
        self._initializers: dict[str, TensorProto] = {}
        self._decompress: dict[str, list[onnx.NodeProto]] = {}
        self._renamed: dict[Value, Value] = {}
        self._names: set[str] = set()

    # ---- building ----

    @contextlib.contextmanager
    def layer(self, name: str) -> Iterator[None]:
        """Weights first used inside belong to this layer; layers follow one another in the order of use."""
        self.layers.append(name)
        self._used.append([])
        yield

    def input(self, name: str, dtype: int, shape: Sequence[int | str]) -> Value:
        """Add a graph input."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def optional_input(self, name: str, default: NDArray[Any]) -> Value:
        """Add an input that has a value where nobody gives one (an initializer that is an input too), or find it."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(default, name)
            dtype = self._initializers[name].data_type
            self._inputs.append(helper.make_tensor_value_info(name, dtype, default.shape))
        return name

    def output(self, value: Value, name: str, shape: Sequence[int | str], dtype: int = FLOAT) -> None:
        """Make `value` the graph's next output, called `name`."""
        self._renamed[value] = name
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def op(self, op_type: str, *inputs: Value, at: str, domain: str = "", **attributes: Any) -> Value:
        """Add a node with one output. `at` says where it stands ("model.layers.0.mlp"); an absent input is ""."""
        return self.ops(op_type, *inputs, at=at, domain=domain, present=(True,), **attributes)[0]

    def ops(
        self, op_type: str, *inputs: Value, at: str, present: Sequence[bool], domain: str = "", **attributes: Any
    ) -> list[Value]:
        """Add a node with several outputs; the name of one that is not `present` is ""."""
        name = self._unique(f"{at}/{op_type}")
        outputs = [f"{name}:{i}" if there else "" for i, there in enumerate(present)]
        self._nodes.append(helper.make_node(op_type, list(inputs), outputs, name=name, domain=domain, **attributes))
        return outputs

    def constant(self, name: str, array: NDArray[Any]) -> Value:
        """Add a constant of that name, or find the one that is there; one over 1 MiB goes to the data file."""
        if name not in self._initializers and name not in self.constants:
            if array.nbytes > INLINE_LIMIT:
                self.constants[name] = array
            else:
                self._initializers[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, *values: int) -> Value:
        """Return a 1-D int64 constant."""
        return self.constant("int64_" + "_".join(map(str, values)), np.array(values, np.int64))

    def parameter(self, tensor: str, shape: tuple[int, ...]) -> Value:
        """Return a small tensor of the source, float32."""
        self.parameters.setdefault(tensor, Parameter(tensor, shape))
        return tensor

    def decompress(
        self, tensor: str, shape: tuple[int, ...], *, token: Value = "", transpose: bool = False, by_row: bool = False
    ) -> Value:
        """Return a large weight of the source, decoded to float32, transposed if asked for.

        `token` is the activation that the weight is used with: it puts the nodes in the order of use.
        """
        layer = len(self.layers) - 1
        self.weights.setdefault(tensor, Weight(tensor, shape, layer, by_row))
        inputs = [tensor, token] if token else [tensor]
        at = tensor.removesuffix(".weight")
        attributes = {"tensor": tensor, "shape": list(shape), "layer": layer, "transpose": int(transpose)}
        decoded = self.op("Decompress", *inputs, at=at, domain=LPC, **attributes)
        self._decompress.setdefault(tensor, []).append(self._nodes[-1])
        self._used[layer].append(tensor)
        self._values.append(helper.make_tensor_value_info(decoded, FLOAT, shape[::-1] if transpose else shape))
        return decoded

    def used_in(self, layer: int) -> list[str]:
        """Return the weights that a layer uses, a tied one included."""
        return list(self._used[layer])

    # ---- changing, before the weights are read ----

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """The nodes so far, in the order of use."""
        return self._nodes

    def factors(self) -> set[str]:
        """Return the weights that products use."""
        return {tensor for tensors in products(self._nodes).values() for tensor in tensors}

    def use_count(self, tensor: str) -> int:
        """How many nodes use a weight."""
        return len(self._decompress[tensor])

    def sites(self) -> Sequence[Site]:
        """Return every place where activations meet weights."""
        return sites(self)

    def is_transposed(self, tensor: str) -> bool:
        """Whether a weight's first use takes the stored matrix's rows as outputs."""
        return bool(_get(self._decompress[tensor][0], "transpose"))

    def inline(self, name: str) -> NDArray[Any] | None:
        """Return a small constant; None if there is none of that name."""
        found = self._initializers.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def store_by_output(self, tensor: str) -> bool:
        """Store a factor so that rows are the product's outputs; True if it is the transpose of the source's now.

        Its values stay what they are.
        """
        if self.is_transposed(tensor):
            return False
        weight = self.weights[tensor]
        self.weights[tensor] = replace(weight, shape=weight.shape[::-1])
        for node in self._decompress[tensor]:
            _set(node, "shape", list(weight.shape[::-1]))
            _set(node, "transpose", 1 - _get(node, "transpose"))
        return True

    def dequantize(self, tensor: str, group: int) -> None:
        """Make a weight int8 with scales, which `fill_scales` gives later; `group` as in dequantize_linear."""
        for node in self._decompress[tensor]:
            transposed, decoded = bool(_get(node, "transpose")), node.output[0]
            node.output[0] = f"{decoded}:int8"
            _set(node, "to", "int8")
            name = self._unique(f"{node.name}/DequantizeLinear")
            after = self._nodes.index(node) + 1
            self._nodes.insert(after, dequantize_linear(node.output[0], tensor, decoded, name, group, transposed))

    def fill_scales(self, tensor: str, scales: NDArray[np.float32]) -> int:
        """Give the scales of `dequantize`: [], [rows] or [rows, groups]; returns the bytes that they take."""
        placed = placed_scales(tensor, scales, [bool(_get(node, "transpose")) for node in self._decompress[tensor]])
        for name, array in placed.items():
            self.constant(name, array)
        return scales.nbytes * len(placed)

    # ---- finishing ----

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return every tensor of the source that the graph needs."""
        shapes = {weight.tensor: weight.shape for weight in self.weights.values()}
        return shapes | {parameter.tensor: parameter.shape for parameter in self.parameters.values()}

    def place(self, tensor: str, extent: Extent, dtype: str, codec: str) -> None:
        """Tell where the blob of a weight lies and what it holds."""
        self._initializers[tensor] = external_tensor(tensor, TensorProto.UINT8, (extent.length,), extent)
        for node in self._decompress[tensor]:
            node.attribute.extend([helper.make_attribute("dtype", dtype), helper.make_attribute("codec", codec)])

    def place_constant(self, name: str, extent: Extent) -> None:
        """Tell where a large constant lies."""
        array = self.constants[name]
        self._initializers[name] = external_tensor(name, FLOAT, array.shape, extent)

    def fill(self, tensor: str, array: NDArray[np.float32]) -> None:
        """Give the values of a parameter."""
        self._initializers[tensor] = numpy_helper.from_array(array, tensor)

    def model(self, producer: str, version: str) -> onnx.ModelProto:
        """Return the model; ExportError if a weight was not placed."""
        needed = [*self.weights, *self.parameters, *self.constants]
        absent = [name for name in needed if name not in self._initializers]
        if absent:
            raise ExportError(f"{absent[0]} was not written, with {len(absent) - 1} others: a bug in the exporter")
        for node in self._nodes:
            for values in (node.input, node.output):
                values[:] = [self._renamed.get(value, value) for value in values]
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, list(self._initializers.values()),
            value_info=self._values,
        )  # fmt: skip
        imports = [helper.make_opsetid(domain, opset) for domain, opset in OPSETS.items()]
        model = helper.make_model(
            graph, opset_imports=imports, ir_version=IR_VERSION, producer_name=producer, producer_version=version
        )
        helper.set_model_props(model, self.metadata)
        return model

    def _unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._names:
            number += 1
            candidate = f"{name}_{number}"
        self._names.add(candidate)
        return candidate


def _get(node: onnx.NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), 0)


def _set(node: onnx.NodeProto, name: str, value: Any) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
