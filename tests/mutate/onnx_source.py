"""ONNX files of other tools: mutated, exported, and run before and after, as far as onnxruntime runs the source."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mutate import bytes_, child, files_, graph_, json_, reading, verdict
from mutate.cases import Case, Mutators, Weights
from mutate.sources import Source, on_files, verified
from mutate.verdict import Verdict, failed

_FILE, _ROWS, _MOST = "m.onnx", 4, 4096


def _outputs(model: Path, use_provider: bool, target: Path) -> None:
    """Run a model on numbers that depend on its inputs' types alone, and save what it gives."""
    import warnings

    from onnx_models import session

    warnings.simplefilter("ignore")
    opened = session(model, use_provider, f"mutate-{target.stem}")
    feeds = {value.name: _numbers(value.shape, value.type) for value in opened.get_inputs()}
    np.savez(target, *opened.run(None, feeds))


def _numbers(shape: list[Any], kind: str) -> Any:
    extents = [extent if isinstance(extent, int) and 0 < extent <= _MOST else _ROWS for extent in shape]
    rng = np.random.default_rng(5)
    if kind == "tensor(int64)":
        return rng.integers(0, 64, extents)
    return rng.normal(size=extents).astype({"tensor(float16)": np.float16}.get(kind, np.float32))


class Onnx(Source):
    """The kind `onnx`."""

    name = "onnx"
    file = _FILE
    manners: ClassVar[Weights] = {"lz4": 3, "auto": 3, "packed": 2, "ans": 1}
    bases = ("matmul", "transpose_matmul", "gemm_transposed", "gather", "tied_table_first", "cast", "nbits")
    mutators: ClassVar[Mutators] = on_files() | {
        "graph": (graph_.on_graph(_FILE, *graph_.CHANGES), 40),
        "config": (json_.on_json("config.json"), 1),
        **{f"graph {c.__name__}": (bytes_.on_file(c, _FILE), 3) for c in (bytes_.flipped, bytes_.cut, bytes_.extended)},
        "weights replaced": (files_.replaced, 3),
    }

    def write(self, base: str, folder: Path) -> None:
        from onnx_models import FLOAT, make, node, weight
        from test_onnx_source import PATTERNS, X, nbits

        folder.mkdir(parents=True)
        if base == "nbits":
            packed = np.random.default_rng(0).choice(
                np.array([0x88, 0x89, 0x98], np.uint8), (96, 2, 16), p=[0.9, 0.05, 0.05]
            )
            nbits(folder, packed).rename(folder / _FILE)
            (folder / "in").rmdir()
            return
        if base == "cast":
            nodes = [node("Cast", ["w"], "c", to=FLOAT), node("MatMul", ["x", "c"], "y")]
            shapes, inputs, columns, dtype = {"w": (64, 96)}, X, 96, "bfloat16"
        else:
            nodes, shapes, inputs, columns, _ = PATTERNS[base]
            dtype = "float32"
        weights = {name: weight(shape, dtype) for name, shape in shapes.items()}
        make(
            folder / _FILE,
            nodes,
            weights,
            {"y": ["n", columns]},
            inputs,
            external=base in ("gemm_transposed", "gather", "tied_table_first"),
        )

    def checked(self, case: Case, folder: Path, out: Path) -> Verdict | None:
        wrong = _difference(folder, out)
        if wrong:
            return failed(f"exported, but {wrong}")
        said = verdict.of_end(verified(folder / _FILE, out), "lpc-export")
        if said is not None:
            return failed(f"exported, but verify --against says: {said.reason[:300]}")
        return self._runs_alike(folder / _FILE, out)

    def _runs_alike(self, source: Path, out: Path) -> Verdict | None:
        """The fallback gives the source's bits, the provider nearly them."""
        place = out.parent
        if child.run(partial(_outputs, source, False, place / "source.npz"), [], place).status:
            return None  # onnxruntime does not run the source: only its weights can be compared
        expected = _loaded(place / "source.npz")
        for use_provider in (False, True):
            target = place / f"out{use_provider:d}.npz"
            done = child.run(partial(_outputs, out / "model.onnx", use_provider, target), [], place)
            if done.status:
                return failed(
                    f"the source runs, what was exported does not (provider {use_provider}): {done.stderr[-300:]!r}"
                )
            if not _alike(expected, _loaded(target), exactly=not use_provider):
                return failed(f"the exported folder computes something else (provider {use_provider})")
        return None


def _loaded(file: Path) -> list[Any]:
    with np.load(file) as arrays:
        return [arrays[name] for name in arrays.files]


def _alike(expected: list[Any], got: list[Any], exactly: bool) -> bool:
    if len(expected) != len(got):
        return False
    for a, b in zip(expected, got, strict=True):
        same = a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        near = not exactly and a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
        if not (same or near):
            return False
    return True


def _difference(folder: Path, out: Path) -> str:
    """Compare what was written with the source's tensors, each as it is or with rows and columns exchanged."""
    model = onnx.load(str(folder / _FILE), load_external_data=False)
    protos = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, (shape, data) in reading.weights(out).items():
        if name not in protos:
            return f"{name} is not in the source"
        array = _array(protos[name], folder)
        forms = (array, np.ascontiguousarray(array.T)) if array.ndim == 2 else (array,)
        if not any((list(form.shape), form.tobytes()) == (shape, data) for form in forms):
            return f"{name} has other values than the source"
    return ""


def _array(proto: TensorProto, folder: Path) -> Any:
    """A tensor of the source, with its external data read from the folder itself."""
    if proto.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(proto)
    place = {entry.key: entry.value for entry in proto.external_data}
    dtype = helper.tensor_dtype_to_np_dtype(proto.data_type)
    count = int(np.prod(proto.dims, dtype=object)) if proto.dims else 1
    with (folder / Path(place["location"]).name).open("rb") as file:
        return np.fromfile(file, dtype, count, offset=int(place.get("offset", 0))).reshape(proto.dims)
