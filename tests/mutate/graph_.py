"""Mutations of model.onnx that know protobuf: nodes, attributes, shapes, external data, graph inputs and outputs."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from mutate.bytes_ import content
from mutate.cases import NotApplicable

_NUMBERS = (0, 1, -1, 2, 3, 7, 64, 1 << 20, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63))
_TEXTS = ("", "x", "lz4", "packed", "bf16", "fp32", "int8", "../model.lpc", "/etc/passwd", "\x1b[2J", "a" * 3000, "é\n")
_LOCATIONS = ("", "model.onnx", "lpc.json", "../model.lpc", "/etc/passwd", "/dev/zero", "./model.lpc", "nothing", "..",
              "tokenizer.json", "model.lpc/", "a\0b", "MODEL.LPC", "/proc/self/mem", "\x1b[31m")  # fmt: skip
_DTYPES = tuple(TensorProto.DataType.values())


def on_graph(name: str, *changes: Callable[[onnx.ModelProto, random.Random], str]) -> Callable[..., str]:
    """A mutator that loads a model, makes one of the changes and saves it."""

    def mutator(folder: Path, rng: random.Random) -> str:
        file = folder / name
        try:
            model = onnx.load_model_from_string(content(file))
        except DecodeError:
            raise NotApplicable from None
        change = rng.choice(changes)
        try:
            what = change(model, rng)
            file.write_bytes(model.SerializeToString(deterministic=True))
        except (IndexError, ValueError, UnicodeEncodeError):
            raise NotApplicable from None
        return f"{change.__name__}: {what[:200]}"

    return mutator


def _node(model: onnx.ModelProto, rng: random.Random, *types: str) -> Any:
    """A node, of these types if there are such."""
    nodes = [node for node in model.graph.node if not types or node.op_type in types]
    if not nodes:
        raise NotApplicable
    return rng.choice(nodes)


def attribute(model: onnx.ModelProto, rng: random.Random) -> str:
    """A node's attribute changed, removed, doubled or added; every second time that of a Decompress."""
    node = _node(model, rng, *(("Decompress",) if rng.random() < 0.5 else ()))
    if not node.attribute:
        raise NotApplicable
    chosen = rng.choice(node.attribute)
    way = rng.choice(("value", "value", "value", "type", "gone", "renamed", "doubled"))
    if way == "gone":
        node.attribute.remove(chosen)
    elif way == "renamed":
        chosen.name = rng.choice(("", "x", "shape", "dtype"))
    elif way == "doubled":
        node.attribute.add().CopyFrom(chosen)
    elif way == "type":
        chosen.type = rng.choice(onnx.AttributeProto.AttributeType.values())
    else:
        _change_value(chosen, rng)
    return f"{node.op_type} {node.name} {chosen.name} {way}"


def _change_value(chosen: Any, rng: random.Random) -> None:
    if chosen.type == onnx.AttributeProto.INT:
        chosen.i = rng.choice((*_NUMBERS, max(chosen.i - 1, 0), chosen.i + 1))
    elif chosen.type == onnx.AttributeProto.FLOAT:
        chosen.f = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e30, chosen.f * 2))
    elif chosen.type == onnx.AttributeProto.STRING:
        chosen.s = rng.choice((*(text.encode() for text in _TEXTS), b"\xff\xfe", chosen.s + b"x"))
    elif chosen.type == onnx.AttributeProto.INTS:
        values = list(chosen.ints) or [1]
        values[rng.randrange(len(values))] = rng.choice(_NUMBERS)
        del chosen.ints[:]
        chosen.ints.extend(rng.choice((values, values, values[:-1], values * 3, values[::-1], [])))
    elif chosen.type == onnx.AttributeProto.TENSOR:
        _change_tensor(chosen.t, rng)
    else:
        chosen.ClearField("type")


def edge(model: onnx.ModelProto, rng: random.Random) -> str:
    """An input or output of a node renamed, emptied, removed, added or doubled."""
    node = _node(model, rng, *(("Decompress", "MatMul", "Gather", "Gemm") if rng.random() < 0.5 else ()))
    values = rng.choice((node.input, node.output))
    others = [name for other in model.graph.node for name in (*other.input, *other.output)]
    way = rng.choice(("gone", "empty", "other", "other", "new", "more", "doubled"))
    at = rng.randrange(len(values)) if values else 0
    if way == "gone":
        del values[at]
    elif way == "more":
        values.append(rng.choice(others))
    elif way == "doubled":
        values.extend(list(values))
    else:
        values[at] = {"empty": "", "other": rng.choice(others), "new": "nobody"}[way]
    return f"{node.op_type} {node.name} {way}"


def node(model: onnx.ModelProto, rng: random.Random) -> str:
    """A node removed, doubled, moved, or another operator."""
    chosen = _node(model, rng, *(("Decompress", "MatMul", "Gather") if rng.random() < 0.5 else ()))
    way = rng.choice(("gone", "doubled", "moved", "type", "type", "domain", "name"))
    what = f"{chosen.op_type} {chosen.name} {way}"
    if way == "gone":
        model.graph.node.remove(chosen)
    elif way == "doubled":
        model.graph.node.add().CopyFrom(chosen)
    elif way == "moved":
        copy = onnx.NodeProto()
        copy.CopyFrom(chosen)
        model.graph.node.remove(chosen)
        model.graph.node.insert(rng.randrange(len(model.graph.node) + 1), copy)
    elif way == "type":
        chosen.op_type = rng.choice(
            ("Abs", "Identity", "Transpose", "Decompress", "MatMul", "Gemm", "Gather", "", "Loop")
        )
    elif way == "domain":
        chosen.domain = rng.choice(("", "lpc", "com.microsoft", "nobody"))
    else:
        chosen.name = rng.choice(("", "\x1b[2J", "n" * 5000, _node(model, rng).name))
    return what


def unused(model: onnx.ModelProto, rng: random.Random) -> str:
    """A second reader of a weight or of a value whose output nobody uses."""
    chosen = _node(model, rng, "MatMul", "Gather", "Gemm", "Decompress")
    model.graph.node.add().CopyFrom(chosen)
    for index in range(len(chosen.output)):
        model.graph.node[-1].output[index] = f"unused.{index}"
    model.graph.node[-1].name = "unused"
    return f"{chosen.op_type} {chosen.name}"


def _change_tensor(tensor: Any, rng: random.Random) -> str:
    way = rng.choice(("dims", "dims", "dtype", "data", "cut", "name", "location"))
    if way == "dims":
        dims = list(tensor.dims) or [1]
        dims[rng.randrange(len(dims))] = rng.choice(_NUMBERS)
        del tensor.dims[:]
        tensor.dims.extend(rng.choice((dims, dims[:-1], [*dims, 1], [])))
    elif way == "dtype":
        tensor.data_type = rng.choice(_DTYPES)
    elif way == "data" and tensor.raw_data:
        data = bytearray(tensor.raw_data)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        tensor.raw_data = bytes(data)
    elif way == "cut":
        tensor.raw_data = rng.choice((b"", tensor.raw_data[:-1], tensor.raw_data + b"\0"))
    elif way == "name":
        tensor.name = rng.choice(("", "x", "logits", "input_ids"))
    else:
        tensor.data_location = TensorProto.EXTERNAL if rng.random() < 0.8 else TensorProto.DEFAULT
    return f"{tensor.name[:80]} {way}"


def tensor(model: onnx.ModelProto, rng: random.Random) -> str:
    """A weight's shape, type or bytes."""
    if not model.graph.initializer:
        raise NotApplicable
    chosen = rng.choice(model.graph.initializer)
    way = rng.choice(("gone", "doubled", "change", "change", "change", "change"))
    if way == "gone":
        model.graph.initializer.remove(chosen)
    elif way == "doubled":
        model.graph.initializer.add().CopyFrom(chosen)
    else:
        return _change_tensor(chosen, rng)
    return f"{chosen.name} {way}"


def external(model: onnx.ModelProto, rng: random.Random) -> str:
    """Where a weight's bytes lie: file, offset, length."""
    found = [one for one in model.graph.initializer if one.external_data]
    if not found:
        raise NotApplicable
    chosen = rng.choice(found)
    entry = rng.choice(chosen.external_data)
    way = rng.choice(("value", "value", "value", "other", "gone", "doubled", "key"))
    if way == "gone":
        chosen.external_data.remove(entry)
    elif way == "doubled":
        chosen.external_data.add().CopyFrom(entry)
        chosen.external_data[-1].value = "0"
    elif way == "key":
        entry.key = rng.choice(("", "Location", "checksum", "offset", "length", "basepath"))
    elif way == "other":
        chosen.external_data[0].CopyFrom(rng.choice(rng.choice(found).external_data))
    elif entry.key == "location":
        entry.value = rng.choice(_LOCATIONS)
    else:
        near = [str(int(entry.value) + by) for by in (1, -1, 64, 4096)] if entry.value.isdigit() else []
        entry.value = rng.choice((*map(str, _NUMBERS), "", " 1", "1e3", "0x10", "-0", "9" * 40, *near))
    return f"{chosen.name} {entry.key} {way} {entry.value[:60]!r}"


def border(model: onnx.ModelProto, rng: random.Random) -> str:
    """The graph's inputs and outputs."""
    values = rng.choice((model.graph.input, model.graph.output))
    chosen = rng.choice(values)
    way = rng.choice(("gone", "doubled", "name", "dtype", "shape", "shape", "shape", "rank"))
    kind = chosen.type.tensor_type
    if way == "gone":
        values.remove(chosen)
    elif way == "doubled":
        values.add().CopyFrom(chosen)
    elif way == "name":
        chosen.name = rng.choice(("", "x", "logits", "input_ids", rng.choice(model.graph.node).output[0]))
    elif way == "dtype":
        kind.elem_type = rng.choice(_DTYPES)
    elif way == "rank":
        kind.shape.dim.add().dim_value = 1
    else:
        extent = rng.choice(kind.shape.dim)
        if rng.random() < 0.7:
            extent.dim_value = rng.choice(_NUMBERS)
        else:
            extent.dim_param = rng.choice(("", "n", "batch_size", "total_sequence_length"))
    return f"{chosen.name} {way}"


def header(model: onnx.ModelProto, rng: random.Random) -> str:
    """Versions, operator sets, functions, deep subgraphs."""
    way = rng.choice(("ir", "opset", "opsets", "producer", "function", "deep", "twice", "empty"))
    if way == "ir":
        model.ir_version = rng.choice((0, 1, 3, 99, (1 << 63) - 1))
    elif way == "opset":
        rng.choice(model.opset_import).version = rng.choice((0, 1, 7, 99, -1, (1 << 31) - 1, 2))
    elif way == "opsets":
        model.opset_import.add(domain=rng.choice(("", "lpc", "x")), version=rng.choice((1, 2, 99)))
    elif way == "producer":
        model.producer_name = rng.choice(_TEXTS)
    elif way == "function":
        model.functions.add(name="Decompress", domain="lpc", input=["a"], output=["b"])
    elif way == "deep":
        _deepen(model, rng.choice((3, 40)))
    elif way == "twice":
        model.graph.node.extend(list(model.graph.node))
    else:
        model.graph.ClearField(rng.choice(("node", "initializer", "input", "output", "name")))
    return way


def _deepen(model: onnx.ModelProto, depth: int) -> None:
    graph = helper.make_graph([], "inner", [], [])
    for level in range(depth):
        branch = helper.make_node("If", ["nobody"], [f"if.{level}"], then_branch=graph, else_branch=graph)
        if branch.ByteSize() > 1 << 20:
            break
        graph = helper.make_graph([branch], f"level{level}", [], [])
    model.graph.node.extend(graph.node)


CHANGES = (attribute, attribute, edge, edge, node, unused, tensor, external, external, border, header)
