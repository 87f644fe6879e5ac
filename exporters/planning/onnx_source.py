"""An existing ONNX model: the weights that it multiplies with or looks up become compressed blobs, the rest stays.

Recognised, as onnxruntime-genai's builder, Optimum and torch.onnx write them: MatMul, Gemm and Gather of an
initializer, directly or through Cast (to float32) and Transpose, whose effect the Decompress operator has itself; and
the packed bytes of MatMulNBits and its relatives. Nothing else in the graph changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from edge_runtime.config.reader import read_json
from edge_runtime.errors import ExportError, FormatError
from edge_runtime.io.printable import printable
from edge_runtime.io.source_files import open_source, read_source
from exporters.checkpoints import dtypes
from exporters.checkpoints.onnx_tensors import OnnxTensors
from exporters.checkpoints.tokenizer_files import TOKENIZER, TokenizerFiles, read_tokenizer
from exporters.graphs.nodes import LPC
from exporters.graphs.onnx_graph import OnnxGraph
from exporters.planning import genai_config
from exporters.planning.plan import Plan

_PROTOBUF_LIMIT = (1 << 31) - 1
_NESTED_LIMIT = 1 << 30  # of bytes that become part of the protobuf
_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_CONFIG = "config.json"
_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length")


def plan_onnx(path: Path, dtype: str, tokenizer: Path) -> Plan:
    """Plan the export of an ONNX file; `dtype` other than keep converts float32 weights, `tokenizer` is a folder.

    Raises ExportError for a model that cannot be exported and FormatError for a malformed one.
    """
    model = _load(path)
    _check_operators(path, model)
    tensors = OnnxTensors(path, {tensor.name: tensor for tensor in model.graph.initializer})
    _inline_nested(path, model, tensors)
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
    found = read_tokenizer(tokenizer, _vocab_size(genai))
    if genai is not None:
        _fix_cache_shapes(model, genai["model"]["decoder"])
    return Plan(
        name=path.parent.resolve().name if path.stem == "model" else path.stem,
        model_type=_model_type(path, genai),
        context_length=context,
        tensors=tensors,
        graph=graph,
        genai_config=genai,
        files=found.files | _present(path.parent, "generation_config.json"),
        checked=_passes_checker(path),
        not_finite=_not_finite(model, graph, tensors),
        warnings=(*_warnings(path, genai, found), *found.warnings),
    )


def _load(path: Path) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(_content(path))
    except DecodeError:
        raise FormatError(f"{path}: is not an ONNX file, or is cut short; fetch it again", file=str(path)) from None
    if not model.graph.node:
        raise FormatError(f"{path}: has no graph; expected an ONNX model", file=str(path))
    _check_text(path, model)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    _check_initializers(path, model)
    return model


def _content(path: Path) -> bytes:
    with open_source(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _PROTOBUF_LIMIT:
            raise ExportError(
                f"{path}: {size:,} bytes, but a protobuf has at most {_PROTOBUF_LIMIT:,}; save the model with external "
                "data: onnx.save(model, path, save_as_external_data=True)"
            )
        start = file.read(1)
        return start + file.read() if start != b"\0" else start  # no field has the number 0: a hole, however long


def _check_text(path: Path, message: Message) -> None:
    """FormatError for a text that is not UTF-8, but for notes to people: protobuf gives it as bytes."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING and field.name != "doc_string":
            for text in [value] if isinstance(value, (str, bytes)) else value:
                _check_utf8(path, field.name, text)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in [value] if isinstance(value, Message) else value:
                _check_text(path, inner)


def _check_utf8(path: Path, field: str, text: str | bytes) -> None:
    if isinstance(text, bytes):
        raise FormatError(
            f"{path}: the {field} {ascii(text)[1:][:80]} is not UTF-8; fetch it again", file=str(path), field=field
        )


def _check_initializers(path: Path, model: onnx.ModelProto) -> None:
    seen: set[str] = set()
    for tensor in model.graph.initializer:
        name = printable(tensor.name)
        if tensor.name in seen:
            raise FormatError(f"{path}: two initializers are called {name}", file=str(path), field=tensor.name)
        if any(extent < 0 for extent in tensor.dims):
            raise FormatError(f"{path}: {name} has the extents {list(tensor.dims)}", file=str(path), field=tensor.name)
        seen.add(tensor.name)


def _inline_nested(path: Path, model: onnx.ModelProto, tensors: OnnxTensors) -> None:
    """Bring external data of nested graphs, attributes and sparse tensors inside: the export has no such file."""
    nested = list(_nested_tensors(model.graph))
    size = sum(tensors.external_bytes(tensor) for tensor in nested)
    if size > _NESTED_LIMIT:
        raise ExportError(
            f"{path}: {size:,} bytes of external data belong to nested graphs or attributes, expected at most "
            f"{_NESTED_LIMIT:,}; make them initializers of the main graph"
        )
    for tensor in nested:
        tensor.CopyFrom(tensors.inline(tensor))


def _nested_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor with external data but the initializers of `graph` itself."""
    for sparse in graph.sparse_initializer:
        yield from _external(sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from _external(*attribute.tensors, attribute.t)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from _external(sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _external(*inner.initializer)
                yield from _nested_tensors(inner)


def _external(*tensors: onnx.TensorProto) -> Iterator[onnx.TensorProto]:
    return (tensor for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL)


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    """Refuse operators that onnxruntime does not have: nobody could run the folder."""
    for node in model.graph.node:
        if node.domain == LPC:
            raise ExportError(f"{path}: was written by lpc-export; export what it was made from")
        if node.domain not in _KNOWN_DOMAINS:
            name = node.name or ", ".join(node.output)
            raise ExportError(
                f"{path}: node {printable(name)} is {printable(f'{node.domain}::{node.op_type}')}, a custom operator "
                "that onnxruntime does not have; export the model without it"
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
    if os.path.lexists(path.parent / genai_config.FILE):
        config = read_json(path.parent / genai_config.FILE)
        model = config.get("model")
        if isinstance(model, dict) and isinstance(model.get("decoder"), dict):
            decoder = model["decoder"]
            options = decoder.setdefault("session_options", {})
            options["provider_options"] = genai_config.PROVIDER_OPTIONS
            decoder["filename"] = "model.onnx"
            length = model.get("context_length")
            return config, length if type(length) is int else 0
    if os.path.lexists(path.parent / _CONFIG):
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
    if os.path.lexists(path.parent / _CONFIG):
        return str(read_json(path.parent / _CONFIG).get("model_type", "onnx"))
    return "onnx"


def _not_finite(model: onnx.ModelProto, graph: OnnxGraph, tensors: OnnxTensors) -> dict[str, str]:
    """Return what tensors that are no weights hold of NaN and Inf; Inf only in vectors, as masks are made of it."""
    found = {}
    for tensor in model.graph.initializer:
        kind = "" if tensor.name in graph.weights else tensors.not_finite(tensor.name)
        if "NaN" in kind or (len(tensor.dims) == 1 and tensor.dims[0] > 1):
            found[tensor.name] = kind
    return found


def _vocab_size(genai: dict[str, Any] | None) -> int:
    size = genai["model"].get("vocab_size") if genai is not None else 0
    return size if type(size) is int else 0


def _present(folder: Path, *names: str) -> dict[str, bytes]:
    return {name: read_source(folder / name) for name in names if os.path.lexists(folder / name)}


def _warnings(path: Path, genai: dict[str, Any] | None, tokenizer: TokenizerFiles) -> tuple[str, ...]:
    absent = [] if TOKENIZER in tokenizer else [TOKENIZER]
    absent += [] if genai is not None else [genai_config.FILE]
    if not absent:
        return ()
    return (
        f"{path.parent}: no {' and no '.join(absent)}: onnxruntime can run the exported folder, but lpc-run and "
        "onnxruntime-genai need them",
    )
