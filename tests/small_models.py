"""Hand-made ONNX models with compressed weights, and sessions on them through the provider or the fallback op."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge_runtime import codec, provider

_session_numbers = itertools.count()
DTYPE_NAMES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "int8": "int8"}


def random_weight(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    values = np.random.default_rng(seed).normal(0, 0.02, shape)
    if dtype == "int8":
        return np.clip(np.round(values * 1000), -128, 127).astype(np.int8)
    return values.astype({"bf16": ml_dtypes.bfloat16, "fp16": np.float16, "fp32": np.float32}[dtype])


@dataclass
class SmallModel:
    """Collects nodes and blobs; `save` writes model.onnx and model.lpc."""

    folder: Path
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    opset: int = 20

    def weight(
        self, name: str, array: NDArray[Any], *, token: str = "", layer: int = 0, transpose: bool = False,
        codec_name: str = "lz4", segment_bytes: int = 0, external: bool = True, **attributes: Any,
    ) -> str:  # fmt: skip
        """Add a blob and its Decompress node, with further `attributes`; returns the name of the decoded weight."""
        blob = codec.encode(array, codec=codec_name, segment_bytes=segment_bytes).tobytes()
        tensor = TensorProto(name=f"{name}.blob", data_type=TensorProto.UINT8, dims=[len(blob)])
        if external:
            self.data.extend(bytes(-len(self.data) % 4096))
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in {"location": "model.lpc", "offset": len(self.data), "length": len(blob)}.items():
                tensor.external_data.add(key=key, value=str(value))
            self.data.extend(blob)
        else:
            tensor.raw_data = blob
        self.initializers.append(tensor)
        node = helper.make_node(
            "Decompress", [tensor.name, token] if token else [tensor.name], [name], name=f"{name}.decompress",
            domain="lpc", tensor=name, shape=list(array.shape), dtype=DTYPE_NAMES[array.dtype.name],
            codec=codec_name.partition(":")[0], layer=layer, transpose=int(transpose), **attributes,
        )  # fmt: skip
        self.nodes.append(node)
        return name

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output

    def save(
        self, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]], int_inputs: tuple[str, ...] = ()
    ) -> Path:
        """Write the folder; all values are float32 but the int64 `int_inputs`. Returns the path of model.onnx."""
        value_info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes, "small",
            [value_info(n, TensorProto.INT64 if n in int_inputs else TensorProto.FLOAT, s) for n, s in inputs.items()],
            [value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
            initializer=self.initializers,
        )  # fmt: skip
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("lpc", 1)]
        (self.folder / "model.lpc").write_bytes(self.data)
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), self.folder / "model.onnx")
        return self.folder / "model.onnx"


@dataclass
class Session:
    """An onnxruntime session and the name under which the provider counts what it does for it."""

    ort: Any
    session_id: str

    def run(self, **feeds: NDArray[Any]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = self.ort.run(None, feeds)
        return outputs

    @property
    def stats(self) -> provider.SessionStats:
        return provider.session_stats(self.session_id)


def open_session(
    model: Path, *, use_provider: bool = True, parallel: bool = False, residence: str = "streamed", **options: str
) -> Session:
    """Open a model whose weights are streamed, as is not the default: most tests are about what happens then."""
    ort = provider.import_onnxruntime()
    session_id = f"small-{next(_session_numbers)}"
    session_options = ort.SessionOptions()
    session_options.log_severity_level = 4
    if not (use_provider and provider.brings_custom_ops(ort)):
        session_options.register_custom_ops_library(provider.get_library_path())
    if parallel:
        session_options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    if use_provider:
        session_options.add_provider_for_devices(
            provider.devices(), {"session_id": session_id, "residence": residence, **options}
        )
        session = ort.InferenceSession(model, session_options, enable_fallback=0)
    else:
        session = ort.InferenceSession(model, session_options, providers=["CPUExecutionProvider"])
    return Session(session, session_id)
