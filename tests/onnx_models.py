"""Small ONNX models as other tools write them, and sessions that compute the same with and without compression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime import provider

FLOAT = TensorProto.FLOAT


def weight(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    """Return weights that compress: normal, and in float32 with all bits in use."""
    values = np.random.default_rng(seed).normal(0, 0.02, shape)
    return values.astype(np.dtype(dtype) if dtype != "bfloat16" else onnx.helper.tensor_dtype_to_np_dtype(16))


def tensor(name: str, array: NDArray[Any]) -> TensorProto:
    proto = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
    proto.raw_data = array.tobytes()
    return proto


def make(
    path: Path, nodes: list[onnx.NodeProto], weights: dict[str, NDArray[Any]], outputs: dict[str, list[Any]],
    inputs: dict[str, tuple[int, list[Any]]], external: bool = False, output_type: int = FLOAT,
) -> Path:  # fmt: skip
    """Write a model; `external` puts all weights into weights.bin beside it."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "small", [value(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [value(name, output_type, shape) for name, shape in outputs.items()],
        [tensor(name, array) for name, array in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        model, path, save_as_external_data=external, location="weights.bin" if external else None, size_threshold=100
    )
    return path


def node(op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=f"/{output}/{op}", domain=domain, **attributes)


def session(model: Path, use_provider: bool = False, session_id: str = "") -> Any:
    """Open a model without prepacking, so that a weight that is computed gives the same bits as a constant one."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.register_custom_ops_library(provider.get_library_path())
    if use_provider:
        options.add_provider_for_devices(provider.devices(), {"session_id": session_id})
        return ort.InferenceSession(str(model), options, enable_fallback=0)
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def initializers(model: Path) -> dict[str, TensorProto]:
    proto = onnx.load(str(model), load_external_data=False)
    return {initializer.name: initializer for initializer in proto.graph.initializer}


def op_types(model: Path) -> list[str]:
    return [n.op_type for n in onnx.load(str(model), load_external_data=False).graph.node]


__all__ = ["FLOAT", "initializers", "make", "node", "numpy_helper", "op_types", "session", "tensor", "weight"]
