"""Writing the files of an exported folder, each flushed to the device."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_runtime.errors import ExportError

MANIFEST = "lpc.json"
MODEL_FILE = "model.onnx"
PACKAGE = "lpc-package"
MODEL_FILE = "model.onnx"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError inside into an ExportError that names `path` and the reason."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place with -o, or make room"
        ) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file and flush it to the device."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON and flush it to the device; what is no UTF-8 is escaped."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
