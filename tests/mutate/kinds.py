"""The kinds of input."""

from __future__ import annotations

from mutate.boards import Boards
from mutate.onnx_source import Onnx
from mutate.packages import Packages
from mutate.sources import Checkpoints, Ggufs

KINDS: dict[str, type[Packages | Checkpoints | Ggufs | Onnx | Boards]] = {
    "package": Packages,
    "checkpoint": Checkpoints,
    "gguf": Ggufs,
    "onnx": Onnx,
    "board": Boards,
}
COUNTS = {"package": 10_000, "checkpoint": 1_500, "gguf": 500, "onnx": 500, "board": 200}
