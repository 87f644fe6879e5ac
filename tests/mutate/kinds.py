"""The kinds of input."""

from __future__ import annotations

from collections.abc import Callable

from mutate.boards import Boards
from mutate.cases import Kind
from mutate.onnx_source import Onnx
from mutate.packages import Packages
from mutate.sources import Checkpoints, Ggufs

KINDS: dict[str, Callable[[tuple[str, ...]], Kind]] = {
    "package": Packages,
    "checkpoint": Checkpoints,
    "gguf": Ggufs,
    "onnx": Onnx,
    "board": Boards,
}
COUNTS = {"package": 10_000, "checkpoint": 1_500, "gguf": 500, "onnx": 500, "board": 200}
