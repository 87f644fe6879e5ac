"""ONNX files that cannot be exported: one clear line, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from checkpoints import write_llama
from onnx_models import FLOAT, make, node, weight

from edge_runtime.errors import ExportError, FormatError, LpcError
from exporters.export import ExportOptions, export

X = {"x": (FLOAT, ["n", 64])}


def model(folder: Path, external: bool = False) -> Path:
    nodes = [node("MatMul", ["x", "w"], "y")]
    return make(folder / "m.onnx", nodes, {"w": weight((64, 96))}, {"y": ["n", 96]}, X, external)


def edit(folder: Path, change: Callable[[onnx.ModelProto], None], external: bool = False) -> Path:
    path = model(folder, external)
    proto = onnx.load(path, load_external_data=False)
    change(proto)
    path.write_bytes(proto.SerializeToString())
    return path


def place(proto: onnx.ModelProto, key: str, value: str) -> None:
    next(entry for entry in proto.graph.initializer[0].external_data if entry.key == key).value = value


def custom_op(folder: Path) -> Path:
    return edit(folder, lambda proto: proto.graph.node.append(node("Wiggle", ["y"], "z", "ai.acme")))


def duplicate(folder: Path) -> Path:
    return edit(folder, lambda proto: proto.graph.initializer.append(proto.graph.initializer[0]))


def no_weight(folder: Path) -> Path:
    return edit(
        folder, lambda proto: proto.graph.node.__delitem__(0) or proto.graph.node.append(node("Neg", ["x"], "y"))
    )


def over_2_gb(folder: Path) -> Path:
    path = model(folder)
    with path.open("r+b") as file:
        file.truncate((1 << 31) + 1)
    return path


def not_onnx(folder: Path) -> Path:
    path = model(folder)
    path.write_bytes(b"\xff" * 100)
    return path


def cut_short(folder: Path) -> Path:
    path = model(folder)
    path.write_bytes(path.read_bytes()[:5000])
    return path


def data_gone(folder: Path) -> Path:
    path = model(folder, external=True)
    (folder / "weights.bin").unlink()
    return path


def data_short(folder: Path) -> Path:
    path = model(folder, external=True)
    (folder / "weights.bin").write_bytes(b"short")
    return path


def data_elsewhere(folder: Path) -> Path:
    return edit(folder, lambda proto: place(proto, "location", "../weights.bin"), external=True)


def data_of_wrong_length(folder: Path) -> Path:
    return edit(folder, lambda proto: place(proto, "length", "8"), external=True)


def not_there(folder: Path) -> Path:
    folder.mkdir()
    return folder / "nothing.onnx"


def name_of_bytes(folder: Path) -> Path:
    """A node's name that is not UTF-8: protobuf's Python hands it out as bytes."""
    return replaced(folder, b"/y/MatMul", b"/y/Mat\xfful")


def value_of_bytes(folder: Path) -> Path:
    return replaced(folder, b"weight_of_it", b"weight_\xe9f_it")


def data_length_of_bytes(folder: Path) -> Path:
    path = model(folder, external=True)
    content = path.read_bytes()
    assert content.count(b"24576") == 1
    path.write_bytes(content.replace(b"24576", b"24\x9476"))
    return path


def replaced(folder: Path, old: bytes, new: bytes) -> Path:
    nodes = [node("MatMul", ["x", "weight_of_it"], "y")]
    path = make(
        folder / "m.onnx", nodes, {"weight_of_it": weight((64, 96))}, {"y": ["n", 96]}, {"x": (FLOAT, ["n", 64])}
    )
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


DEFECTS: dict[Callable[[Path], Path], tuple[type[LpcError], str]] = {
    custom_op: (ExportError, r"node /z/Wiggle is ai\.acme::Wiggle, a custom operator that onnxruntime does not have"),
    duplicate: (FormatError, "two initializers are called w"),
    no_weight: (ExportError, "no MatMul, Gemm, Gather or MatMulNBits reads a weight"),
    over_2_gb: (ExportError, "2,147,483,649 bytes, but a protobuf has at most 2,147,483,647; save .*external"),
    not_onnx: (FormatError, "is not an ONNX file"),
    cut_short: (FormatError, "is not an ONNX file, or is cut short"),
    data_gone: (ExportError, r"weights\.bin: cannot be read \(No such file"),
    data_short: (FormatError, r"weights\.bin: w has bytes 0 \+ 24576, expected 24576 within the file's 5"),
    data_elsewhere: (FormatError, r"w lies in '\.\./weights\.bin', expected the name of a file beside it"),
    data_of_wrong_length: (FormatError, r"w has bytes 0 \+ 8, expected 24576"),
    name_of_bytes: (FormatError, r"the name '/y/Mat\\xfful' is not UTF-8"),
    value_of_bytes: (FormatError, r"the input 'weight_\\xe9f_it' is not UTF-8"),
    data_length_of_bytes: (FormatError, r"the value '24\\x9476' is not UTF-8"),
    not_there: (ExportError, r"nothing\.onnx: cannot be read \(No such file"),
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_bad_onnx_is_one_line_and_leaves_nothing(tmp_path: Path, defect: Callable[[Path], Path]) -> None:
    error, expected = DEFECTS[defect]
    path = defect(tmp_path / "in")
    with pytest.raises(error, match=expected) as caught:
        export(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_exported_folder_is_no_source(tmp_path: Path) -> None:
    export(write_llama(tmp_path / "model"), tmp_path / "once")
    with pytest.raises(ExportError, match="was written by lpc-export"):
        export(tmp_path / "once" / "model.onnx", tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


def test_float16_graph_with_dtype_is_refused(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], "y")]
    inputs = {"x": (onnx.TensorProto.FLOAT16, ["n", 64])}
    path = make(tmp_path / "in" / "m.onnx", nodes, {"w": weight((64, 96), "float16")}, {"y": ["n", 96]}, inputs,
                output_type=onnx.TensorProto.FLOAT16)  # fmt: skip
    with pytest.raises(ExportError, match="w and 0 others are not float32 in the graph, so --dtype bf16 cannot"):
        export(path, tmp_path / "out", ExportOptions(dtype="bf16"))


def test_folder_with_several_onnx_files_asks_which(tmp_path: Path) -> None:
    first = model(tmp_path / "in")
    first.with_name("other.onnx").write_bytes(first.read_bytes())
    with pytest.raises(ExportError, match="2 ONNX files; name the one to export"):
        export(tmp_path / "in", tmp_path / "out")
