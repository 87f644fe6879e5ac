"""Models whose data file lies where it may and where it may not, opened in this process's onnxruntime.

As a program it prints what became of each case: {"version": .., "outcomes": {case: "own" | "other" | message}}.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from small_models import SmallModel, random_weight

from edge_runtime import provider

WIDTH = 32
X = np.ones((1, WIDTH), np.float32)
ORT_FOLDER = "session.model_external_initializers_file_folder_path"


def build(folder: Path, seed: int = 0) -> Path:
    """A product with a compressed weight and a plain constant in the data file; returns the path of model.onnx."""
    folder.mkdir(parents=True, exist_ok=True)
    model = SmallModel(folder)
    weight = model.weight("w", random_weight((WIDTH, WIDTH), "bf16", seed), token="x", codec_name="stored")
    offset = len(model.data)
    model.data.extend(np.zeros(WIDTH, np.float32).tobytes())
    constant = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[WIDTH], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "model.lpc", "offset": offset, "length": 4 * WIDTH}.items():
        constant.external_data.add(key=key, value=str(value))
    model.initializers.append(constant)
    model.node("Add", [model.node("MatMul", ["x", weight], "p"), "c"], "y")
    return model.save({"x": [1, WIDTH]}, {"y": [1, WIDTH]})


def expected(seed: int) -> Any:
    return X @ random_weight((WIDTH, WIDTH), "bf16", seed).astype(np.float32)


def outcome(model: Path | bytes, ort_folder: Path | None = None, **options: str) -> str:
    """Whose weights were read, or the message."""
    ort = provider.import_onnxruntime()
    session_options = ort.SessionOptions()
    session_options.log_severity_level = 4
    if ort_folder is not None:
        session_options.add_session_config_entry(ORT_FOLDER, str(ort_folder))
    if not provider.brings_custom_ops(ort):
        session_options.register_custom_ops_library(provider.get_library_path())
    session_options.add_provider_for_devices(provider.devices(), options)
    source = model if isinstance(model, bytes) else str(model)
    try:
        y = ort.InferenceSession(source, session_options, enable_fallback=0).run(None, {"x": X})[0]
    except Exception as error:
        return str(error)
    names = {0: "own", 1: "other"}
    return next((name for seed, name in names.items() if np.allclose(y, expected(seed), atol=1e-4)), "wrong")


def located(model: Path, location: str, initializers: tuple[str, ...] = ("w.blob", "c")) -> Path:
    """Let the graph name another data file."""
    proto = onnx.load(model, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location" and tensor.name in initializers:
                entry.value = location
    onnx.save(proto, model)
    return model


def linked(model: Path, target: str | Path) -> Path:
    """Put a link in the place of the data file."""
    (model.parent / "model.lpc").unlink()
    (model.parent / "model.lpc").symlink_to(target)
    return model


def snapshot(cache: Path, shared: bool = False) -> Path:
    """A folder as huggingface_hub has it: links into the model's blobs, and further where blobs are shared."""
    repository = cache / "models--org--name"
    folder, blobs = repository / "snapshots" / "5ca1ab1e", repository / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    for file in build(cache / "made").parent.iterdir():
        blob = blobs / f"hash-of-{file.name}"
        place = cache / "blobs" / "ab" / blob.name if shared and file.suffix == ".lpc" else blob
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
        if place != blob:
            blob.symlink_to(os.path.relpath(place, blobs))
        (folder / file.name).symlink_to(f"../../blobs/{blob.name}")
    return folder / "model.onnx"


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def special(model: Path, make: Callable[[Path], object]) -> Path:
    """Put something that is no regular file in the place of the data file."""
    (model.parent / "model.lpc").unlink()
    make(model.parent / "model.lpc")
    return model


def outcomes(root: Path) -> dict[str, str]:
    """Every case in a folder of its own below `root`."""
    found: dict[str, str] = {}
    other = build(root / "other", seed=1)
    own = build(root / "own")
    data = own.read_bytes()
    found["absolute path"] = outcome(own)
    with working_in(other.parent):
        found["path from another model's folder"] = outcome(Path("../own/model.onnx"))
        found["bytes in another model's folder"] = outcome(data)
        both = {"ort_folder": own.parent, "model_folder": str(own.parent)}
        found["bytes and folder"] = outcome(data, **both)  # type: ignore[arg-type]
    with working_in(own.parent):
        found["file name alone"] = outcome(Path("model.onnx"))
        found["bytes"] = outcome(data)
    with working_in(root):
        found["bytes and the folder of onnxruntime"] = outcome(data, ort_folder=own.parent)
    found["snapshot"] = outcome(snapshot(root / "cache"))
    found["snapshot of shared blobs"] = outcome(snapshot(root / "shared-cache", shared=True))
    inside = build(root / "inside")
    shutil.copytree(own.parent, inside.parent / "below")
    found["link inside"] = outcome(linked(inside, "below/model.lpc"))
    found["path inside"] = outcome(located(build(root / "below-path"), "./model.lpc"))

    outside = other.parent / "model.lpc"
    found["refused: .."] = outcome(located(build(root / "up"), "../other/model.lpc"))
    found["refused: absolute"] = outcome(located(build(root / "absolute"), str(outside)))
    found["refused: link"] = outcome(linked(build(root / "link"), outside))
    stray = snapshot(root / "stray-cache")
    found["refused: link of a snapshot to another place"] = outcome(linked(stray, outside))
    found["refused: constant"] = outcome(located(build(root / "constant"), "../other/model.lpc", ("c",)))
    found["refused: named pipe"] = outcome(special(build(root / "pipe"), os.mkfifo))
    found["refused: folder"] = outcome(special(build(root / "folder"), Path.mkdir))
    found["refused: device"] = outcome(linked(build(root / "device"), "/dev/zero"))
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = outcomes(Path(folder).resolve())
    version = provider.import_onnxruntime().__version__
    json.dump({"version": version, "outcomes": found}, sys.stdout)


if __name__ == "__main__":
    main()
