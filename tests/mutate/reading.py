"""What an exported folder's weights are, read from docs/format.md alone: tests/oracle.py decodes, not the library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def weights(out: Path) -> dict[str, tuple[list[int], bytes]]:
    """Shape and bytes of every weight in the data file, compressed or not."""
    manifest = json.loads((out / "lpc.json").read_bytes())
    data = (out / "model.lpc").read_bytes()
    found = {}
    for entry in manifest["tensors"]:
        blob = data[entry["offset"] : entry["offset"] + entry["bytes"]]
        found[entry["name"]] = list(entry["shape"]), oracle.decode(blob).tobytes()
    for entry in manifest["constants"]:
        found[entry["name"]] = list(entry["shape"]), data[entry["offset"] : entry["offset"] + entry["bytes"]]
    return found


def difference(out: Path, source: Arrays, parameters: bool) -> str:
    """Say where the folder's weights are not those of `source`; "" if nowhere.

    Every matrix must be there, but a head that equals the embedding. `parameters`: vectors of the graph count too.
    """
    written = weights(out)
    for name, (shape, data) in written.items():
        if name in source and (shape, data) != (list(source[name].shape), source[name].tobytes()):
            return f"{name} has other values than the source"
    known = {(array.dtype.str, array.tobytes()) for name, array in source.items() if name in written}
    for name, array in source.items():
        if array.ndim >= 2 and name not in written and (array.dtype.str, array.tobytes()) not in known:
            return f"{name} of the source is not in the folder"
    return _parameters(out, source) if parameters else ""


def _parameters(out: Path, source: Arrays) -> str:
    """Compare the vectors that lie in the graph, as float32."""
    for tensor in onnx.load(str(out / "model.onnx"), load_external_data=False).graph.initializer:
        if tensor.name in source and source[tensor.name].ndim == 1 and not tensor.external_data:
            got = onnx.numpy_helper.to_array(tensor)
            if got.astype(np.float32).tobytes() != source[tensor.name].astype(np.float32).tobytes():
                return f"{tensor.name} in the graph has other values than the source"
    return ""
