"""An existing ONNX model: the weights that it multiplies with or looks up become compressed blobs, the rest stays.

Recognised, as onnxruntime-genai's builder, Optimum and torch.onnx write them: MatMul, Gemm and Gather of an
initializer, directly or through Cast (to float32) and Transpose, whose effect the Decompress operator has itself; and
the packed bytes of MatMulNBits and its relatives. Nothing else in the graph changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError

from edge_runtime.errors import ExportError, FormatError
from exporters import dtypes, genai_config
from exporters.config import read_json
from exporters.graph import LPC
from exporters.onnx_graph import OnnxGraph
from exporters.onnx_tensors import OnnxTensors
from exporters.plan import Plan

_PROTOBUF_LIMIT = (1 << 31) - 1
_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_CONFIG = "config.json"
_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length")


def plan_onnx(path: Path, dtype: str, tokenizer: Sequence[Path]) -> Plan:
    """Plan the export of an ONNX file; `dtype` other than keep converts float32 weights.

    Raises ExportError for a model that cannot be exported and FormatError for a malformed one.
    """
    model = _load(path)
    _check_operators(path, model)
    tensors = OnnxTensors(path, {tensor.name: tensor for tensor in model.graph.initializer})
    graph = OnnxGraph(model, tensors)
    if not graph.weights:
        raise ExportError(f"{path}: no MatMul, Gemm, Gather or MatMulNBits reads a weight of this graph: nothing to do")
    fixed = [weight.tensor for weight in graph.weights.values() if weight.fixed]
    if dtype != dtypes.KEEP and fixed:
        raise ExportError(
            f"{path}: {fixed[0]} and {len(fixed) - 1} others are not float32 in the graph, so --dtype {dtype} cannot "
            "be carried out; choose --dtype keep"
        )
    genai, context = _genai_config(path)
    if genai is not None:
        _fix_cache_shapes(model, genai["model"]["decoder"])
    return Plan(
        name=path.parent.resolve().name if path.stem == "model" else path.stem,
        model_type=_model_type(path, genai),
        context_length=context,
        tensors=tensors,
        graph=graph,
        genai_config=genai,
        copied=[*tokenizer, *_present(path.parent, "generation_config.json")],
        checked=_passes_checker(path),
        warnings=_warnings(path, genai, tokenizer),
    )


def _load(path: Path) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
        if size > _PROTOBUF_LIMIT:
            raise ExportError(
                f"{path}: {size:,} bytes, but a protobuf has at most {_PROTOBUF_LIMIT:,}; save the model with external "
                "data: onnx.save(model, path, save_as_external_data=True)"
            )
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror}); expected an ONNX file") from None
    except DecodeError:
        raise FormatError(f"{path}: is not an ONNX file, or is cut short; fetch it again", file=str(path)) from None
    if not model.graph.node:
        raise FormatError(f"{path}: has no graph; expected an ONNX model", file=str(path))
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    _check_names(path, model)
    return model


def _check_names(path: Path, model: onnx.ModelProto) -> None:
    seen: set[str] = set()
    for tensor in model.graph.initializer:
        if tensor.name in seen:
            raise FormatError(f"{path}: two initializers are called {tensor.name}", file=str(path), field=tensor.name)
        seen.add(tensor.name)


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    """Refuse operators that onnxruntime does not have: nobody could run the folder."""
    for node in model.graph.node:
        if node.domain == LPC:
            raise ExportError(f"{path}: was written by lpc-export; export what it was made from")
        if node.domain not in _KNOWN_DOMAINS:
            raise ExportError(
                f"{path}: node {node.name or node.output[0]} is {node.domain}::{node.op_type}, a custom operator that "
                "onnxruntime does not have; export the model without it"
            )


def _passes_checker(path: Path) -> bool:
    """Whether the source itself passes onnx.checker: some tools write operators of onnxruntime's own."""
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError):
        return False
    return True


def _genai_config(path: Path) -> tuple[dict[str, Any] | None, int]:
    """Return genai_config.json with our provider, if the folder has one, and the context length if anything tells."""
    if (path.parent / genai_config.FILE).is_file():
        config = read_json(path.parent / genai_config.FILE)
        model = config.get("model")
        if isinstance(model, dict) and isinstance(model.get("decoder"), dict):
            decoder = model["decoder"]
            options = decoder.setdefault("session_options", {})
            options["provider_options"] = genai_config.PROVIDER_OPTIONS
            decoder["filename"] = "model.onnx"
            length = model.get("context_length")
            return config, length if type(length) is int else 0
    if (path.parent / _CONFIG).is_file():
        config = read_json(path.parent / _CONFIG)
        for key in _LENGTH_KEYS:
            if type(config.get(key)) is int:
                return None, int(config[key])
    return None, 0


def _fix_cache_shapes(model: onnx.ModelProto, decoder: dict[str, Any]) -> None:
    """Declare the head size of the KV cache where the graph names it only: lpc-run makes the cache from it."""
    size = decoder.get("head_size")
    for value in (*model.graph.input, *model.graph.output):
        extents = value.type.tensor_type.shape.dim
        cache = value.name.startswith(("past_key_values.", "present."))
        if cache and len(extents) == 4 and extents[3].dim_param and type(size) is int:
            extents[3].dim_value = size


def _model_type(path: Path, genai: dict[str, Any] | None) -> str:
    if genai is not None:
        return str(genai["model"].get("type", "onnx"))
    if (path.parent / _CONFIG).is_file():
        return str(read_json(path.parent / _CONFIG).get("model_type", "onnx"))
    return "onnx"


def _present(folder: Path, *names: str) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def _warnings(path: Path, genai: dict[str, Any] | None, tokenizer: Sequence[Path]) -> tuple[str, ...]:
    absent = [] if any(file.name == "tokenizer.json" for file in tokenizer) else ["tokenizer.json"]
    absent += [] if genai is not None else [genai_config.FILE]
    if not absent:
        return ()
    return (
        f"{path.parent}: no {' and no '.join(absent)}: onnxruntime can run the exported folder, but lpc-run and "
        "onnxruntime-genai need them",
    )
