"""What is known of a graph with compressed weights, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

DATA_FILE = "model.lpc"

Value: TypeAlias = str  # a value's name in the graph


@dataclass(frozen=True)
class Weight:
    """A tensor that the graph decompresses. `layer` is its position in the order of use; rows are fetched singly if
    `by_row`."""

    tensor: str
    shape: tuple[int, ...]
    layer: int
    by_row: bool
    fixed: bool = False  # the graph takes exactly these elements: no other dtype, and plain data where no codec pays


@dataclass(frozen=True)
class Parameter:
    """A small tensor that lies in the graph itself as float32."""

    tensor: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Extent:
    """Bytes [offset, offset + length) of the data file."""

    offset: int
    length: int


@dataclass(frozen=True)
class NormFold:
    """The activations are a norm's: its weight, plus `offset`, and its bias take the factors."""

    weight: str
    bias: str | None
    offset: float


@dataclass(frozen=True)
class RowsFold:
    """The activations are a product's outputs, directly or through what a positive factor passes through.

    `tensor`'s stored rows and `bias` take the factors. `heads`, if given, are (queries, keys and values, head size) of
    an attention between them: its outputs repeat the values of a head for several queries.
    """

    tensor: str
    bias: str | None
    heads: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Site:
    """Activations `x` of the graph and the weights that multiply them; `fold` where their channels can be rescaled."""

    x: Value
    tensors: tuple[str, ...]
    fold: NormFold | RowsFold | None


class WeightGraph(Protocol):
    """A graph whose weights are blobs: ours, or another tool's. It may be changed before the weights are read, and is
    told then where they went."""

    layers: list[str]
    weights: dict[str, Weight]
    parameters: dict[str, Parameter]

    @property
    def constants(self) -> Mapping[str, NDArray[Any]]:
        """Large arrays that are no weights; read when they are asked for."""

    def used_in(self, layer: int) -> list[str]:
        """Return the weights that a layer uses."""

    def place(self, tensor: str, extent: Extent, dtype: str, codec: str) -> None:
        """Tell where the blob of a weight lies and what it holds."""

    def place_constant(self, name: str, extent: Extent) -> None:
        """Tell where a constant, or a weight that was left uncompressed, lies."""

    def fill(self, tensor: str, array: NDArray[np.float32]) -> None:
        """Give the values of a parameter."""

    def model(self, producer: str, version: str) -> onnx.ModelProto:
        """Return the finished model."""

    # ---- changing, before the weights are read ----

    def factors(self) -> set[str]:
        """Return the weights that products use."""

    def use_count(self, tensor: str) -> int:
        """How many nodes use a weight."""

    def sites(self) -> Sequence[Site]:
        """Return the places where activations meet weights, as far as the graph knows what makes activations."""

    def store_by_output(self, tensor: str) -> bool:
        """Store a factor so that rows are the product's outputs; True if it is the transpose of the source's now."""

    def dequantize(self, tensor: str, group: int) -> None:
        """Make a weight int8 with scales, which `fill_scales` gives later; `group` as in dequantize_linear.

        ExportError where the graph cannot have that.
        """

    def fill_scales(self, tensor: str, scales: NDArray[np.float32]) -> int:
        """Give the scales of `dequantize`: [], [rows] or [rows, groups]; returns the bytes that they take."""
