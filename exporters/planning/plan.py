"""What an export is made of, whatever it comes from: tensors, the graph that uses them, and the small files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exporters.checkpoints.safetensors_file import TensorInfo
from exporters.graphs.interface import WeightGraph


class Tensors(Protocol):
    """A source of weights: arrays in the layout in which they are stored, dense and row-major."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor by name; shapes are the stored ones."""

    def read(self, name: str) -> NDArray[Any]:
        """Return a tensor; a view on the file where the source has it in the stored layout."""

    def prefetch(self, name: str) -> None:
        """Let the system begin to read the tensor."""

    def release(self, name: str) -> None:
        """Give the tensor's memory back."""

    def close(self) -> None:
        """Unmap the files."""


class Transform(Protocol):
    """Changes weights as they are read (exporters/transforms); the graph was told before."""

    @property
    def key(self) -> str:
        """Identifies what is done, and all that it depends on beside the weights."""

    def weight(self, name: str, array: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
        """Return what becomes of a weight, how many elements changed, and the bytes of its scales."""

    def found(self, name: str) -> dict[str, Any]:
        """Return, for JSON, what `weight` found beside the array; asked once, when the array is on the device."""

    def restore(self, name: str, found: dict[str, Any]) -> bool:
        """Take over what `found` told in an export that was killed; False if that cannot be."""

    def parameter(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what becomes of a small tensor."""

    def report(self) -> list[dict[str, Any]]:
        """What each pass changed, for the manifest."""


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the first weight is read.

    `context_length` is 0 where the source does not tell; `files` are small ones, by name, that go into the folder.
    """

    name: str
    model_type: str
    context_length: int
    tensors: Tensors
    graph: WeightGraph
    genai_config: Mapping[str, Any] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    checked: bool = True  # the finished graph must pass onnx.checker
    warnings: tuple[str, ...] = ()
    not_finite: dict[str, str] = field(
        default_factory=dict
    )  # tensors beside weights and parameters that hold NaN or Inf
    transform: Transform | None = None

    def close(self) -> None:
        """Unmap the files."""
        self.tensors.close()
