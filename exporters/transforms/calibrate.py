"""What goes into every product of a model while it reads a text: by input channel, the largest magnitude and the mean
square.

The exported model itself computes them: two reductions are added to the graph for each activation that meets a weight,
and only their small results leave it. So the provider streams the weights layer by layer within its memory budget as
always, and no activation is kept.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import xxhash
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge_runtime.errors import ExportError
from edge_runtime.io.terminal import TOKENS, Progress
from edge_runtime.machine.board import figures_for
from edge_runtime.package import Package
from edge_runtime.package.manifest import MANIFEST_FILE
from edge_runtime.placement import place
from edge_runtime.provider import OPTION_DECODE_THREADS
from edge_runtime.sequence import runtime_error
from edge_runtime.session import open_session
from exporters.graphs.nodes import products

_FILE = "calibrate.onnx"
_VERSION = 1  # of the cached files
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Activations:
    """Of one product's input, float32 by channel: largest magnitude and mean square."""

    largest: Floats
    mean_square: Floats


@dataclass(frozen=True)
class Calibration:
    """By the name of a weight, what it is multiplied with; `tokens` were read."""

    tokens: int
    activations: Mapping[str, Activations]

    def of(self, tensor: str) -> Activations:
        """ExportError for a weight that no product uses."""
        if tensor not in self.activations:
            raise ExportError(f"{tensor}: was not calibrated: no product uses it")
        return self.activations[tensor]

    def digest(self) -> str:
        """A hash of all figures."""
        digest = xxhash.xxh3_128(f"{self.tokens}".encode())
        for name, entry in sorted(self.activations.items()):
            for part in (name.encode(), entry.largest.tobytes(), entry.mean_square.tobytes()):
                digest.update(part)
        return str(digest.hexdigest())


def calibrate(
    folder: Path, windows: Sequence[Sequence[int]], threads: int = 0, memory_budget: int | None = None,
    cache: Path | None = None,
) -> Calibration:  # fmt: skip
    """Run the exported model in `folder` on windows of token ids; the result is kept in the folder `cache`.

    ExportError where activations are not finite, naming the weight that they meet; LpcError where the model cannot run.
    """
    package = Package.open(folder)
    kept = (cache or default_cache()) / f"{_key(package, windows)}.npz"
    found = _read(kept)
    if found is None:
        found = _measure(package, windows, threads, memory_budget)
        _write(kept, found)
    return found


def default_cache() -> Path:
    """Return the user's cache folder for calibrations."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lpc-edge-runtime" / "calibration"


def _key(package: Package, windows: Sequence[Sequence[int]]) -> str:
    """The weights' checksums, the graph and the text decide the result."""
    digest = xxhash.xxh3_128(f"{_VERSION} {[list(ids) for ids in windows]}".encode())
    digest.update((package.path / MANIFEST_FILE).read_bytes())
    digest.update(package.model_file.read_bytes())
    return str(digest.hexdigest())


def second_moments(
    folder: Path, windows: Sequence[Sequence[int]], values: Sequence[str], threads: int = 0
) -> dict[str, Floats]:
    """Return the mean of x x^T over all tokens, [channels, channels], for some activations x by their name."""
    package = Package.open(folder)
    names = [f"{value}.calibrate.moments" for value in values]
    sums: dict[str, Floats] = {}
    for outputs in _outputs(package, windows, threads, None, names, lambda model: _add_moments(model, values)):
        for value, found in zip(values, outputs, strict=True):
            sums[value] = found if value not in sums else np.add(sums[value], found, out=sums[value])
    tokens = sum(map(len, windows))
    return {value: np.divide(total, np.float32(tokens), out=total) for value, total in sums.items()}


def input_widths(folder: Path) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """Return the activations that meet weights, with the weights' names and the number of channels."""
    package = Package.open(folder)
    nodes = onnx.load(str(package.model_file), load_external_data=False).graph.node
    shapes = {entry["name"]: entry["shape"] for entry in package.manifest["tensors"]}
    places = products(nodes)
    turned = {_text(node, "tensor"): _integer(node, "transpose") for node in nodes if node.op_type == "Decompress"}
    return places, {value: shapes[names[0]][1 if turned[names[0]] else 0] for value, names in places.items()}


def _text(node: onnx.NodeProto, name: str) -> str:
    return next((str(entry.s.decode()) for entry in node.attribute if entry.name == name), "")


def _integer(node: onnx.NodeProto, name: str) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == name), 0)


def _measure(
    package: Package, windows: Sequence[Sequence[int]], threads: int, memory_budget: int | None
) -> Calibration:
    """Largest magnitudes and mean squares over all windows."""
    places = products(onnx.load(str(package.model_file), load_external_data=False).graph.node)
    names = [f"{value}.calibrate.{kind}" for value in places for kind in ("largest", "squares")]
    sums: dict[str, tuple[Floats, NDArray[np.float64]]] = {}
    for outputs in _outputs(
        package, windows, threads, memory_budget, names, lambda model: _add_reductions(model, list(places))
    ):
        for value, largest, squares in zip(places, outputs[::2], outputs[1::2], strict=True):
            before, wide = sums.get(value), squares.astype(np.float64)
            sums[value] = (largest, wide) if before is None else (np.maximum(before[0], largest), before[1] + wide)
    tokens = sum(map(len, windows))
    return Calibration(tokens, _by_tensor(places, sums, tokens))


def _outputs(
    package: Package, windows: Sequence[Sequence[int]], threads: int, memory_budget: int | None,
    names: Sequence[str], add: Callable[[onnx.ModelProto], None],
) -> Iterator[list[Floats]]:  # fmt: skip
    """Yield, window by window, the outputs `names` that `add` gives the graph."""
    with tempfile.TemporaryDirectory(prefix=f"{package.path.name}.", dir=package.path.parent) as folder:
        model_file = Path(folder) / _FILE
        _share(package.data_file, Path(folder) / package.data_file.name)
        model = onnx.load(str(package.model_file), load_external_data=False)
        add(model)
        model_file.write_bytes(model.SerializeToString())
        placement = place(
            package,
            memory_budget=memory_budget,
            context_length=None,
            prefill_chunk=max(map(len, windows)),
            transcode=False,
            figures=lambda: figures_for(None, threads=threads),
        )
        options = {OPTION_DECODE_THREADS: str(threads), **placement.options()}
        session = open_session(replace(package, model_file=model_file), options, threads, debug=False)
        with Progress("calibrating", sum(map(len, windows)), unit=TOKENS) as progress:
            for ids in windows:
                try:
                    yield session.run(names, _feeds(session, ids))
                except Exception as error:  # onnxruntime's exceptions have no base class of their own
                    raise runtime_error(package, package.model_file, error) from error
                progress.advance(len(ids))


def _add_moments(model: onnx.ModelProto, values: Sequence[str]) -> None:
    """x x^T summed over the tokens of the one text."""
    graph = model.graph
    for value in values:
        flat, output = f"{value}.calibrate.flat", f"{value}.calibrate.moments"
        graph.node.append(helper.make_node("Squeeze", [value, "calibrate.batch"], [flat], name=flat))
        graph.node.append(helper.make_node("Gemm", [flat, flat], [output], name=output, transA=1))
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, None]))
    batch = TensorProto(name="calibrate.batch", data_type=TensorProto.INT64, dims=[1], int64_data=[0])
    graph.initializer.append(batch)


def _share(file: Path, link: Path) -> None:
    """The data file must lie beside the model and be no symbolic link."""
    try:
        os.link(file, link)
    except OSError:
        shutil.copyfile(file, link)


def _add_reductions(model: onnx.ModelProto, values: Sequence[str]) -> None:
    """The other outputs stay: attention needs a place for its keys and values."""
    graph = model.graph
    graph.initializer.append(
        TensorProto(name="calibrate.axes", data_type=TensorProto.INT64, dims=[2], int64_data=[0, 1])
    )
    for value in values:
        magnitude = f"{value}.calibrate.abs"
        for op, inputs, output in (
            ("Abs", [value], magnitude),
            ("ReduceMax", [magnitude, "calibrate.axes"], f"{value}.calibrate.largest"),
            ("ReduceSumSquare", [value, "calibrate.axes"], f"{value}.calibrate.squares"),
        ):
            attributes: dict[str, Any] = {} if op == "Abs" else {"keepdims": 0}
            graph.node.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        for kind in ("largest", "squares"):
            name = f"{value}.calibrate.{kind}"
            graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]))


def _feeds(session: Any, ids: Sequence[int]) -> dict[str, NDArray[Any]]:
    """The inputs of a text without a past."""
    tokens = np.array([ids], np.int64)
    known = {"input_ids": tokens, "attention_mask": np.ones_like(tokens),
             "position_ids": np.arange(tokens.size, dtype=np.int64)[None]}  # fmt: skip
    feeds: dict[str, NDArray[Any]] = {}
    for value in session.get_inputs():
        if value.name in known:
            feeds[value.name] = known[value.name]
        else:
            heads, width = cast(int, value.shape[1]), cast(int, value.shape[3])
            feeds[value.name] = np.zeros((1, heads, 0, width), np.float32)
    return feeds


def _by_tensor(
    places: Mapping[str, Sequence[str]], sums: Mapping[str, tuple[Floats, NDArray[np.float64]]], tokens: int
) -> dict[str, Activations]:
    found = {}
    for value, tensors in places.items():
        largest, squares = sums[value]
        if not (np.isfinite(largest).all() and np.isfinite(squares).all()):
            raise ExportError(
                f"the activations that meet {tensors[0]} are not finite on this text: the weights before it hold a NaN "
                "or overflow; a model that computes no numbers cannot be calibrated"
            )
        entry = Activations(largest.astype(np.float32), (squares / tokens).astype(np.float32))
        found.update(dict.fromkeys(tensors, entry))
    return found


def _read(file: Path) -> Calibration | None:
    try:
        with np.load(file) as arrays:
            names = sorted({name.partition(":")[2] for name in arrays.files if ":" in name})
            kept = {name: Activations(arrays[f"largest:{name}"], arrays[f"mean_square:{name}"]) for name in names}
            return Calibration(int(arrays["tokens"]), kept)
    except (OSError, ValueError, KeyError):
        return None


def _write(file: Path, found: Calibration) -> None:
    """A cache that cannot be written is none."""
    arrays: dict[str, NDArray[Any]] = {"tokens": np.array(found.tokens)}
    for name, entry in found.activations.items():
        arrays |= {f"largest:{name}": entry.largest, f"mean_square:{name}": entry.mean_square}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as partial:
            np.savez(partial, **cast(Any, arrays))
        os.replace(partial.name, file)
    except OSError:
        return


__all__ = ["Activations", "Calibration", "calibrate", "default_cache", "input_widths", "second_moments"]
