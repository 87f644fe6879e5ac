"""The layers that decoder-only models are made of, as ONNX. Activations are float32, [batch, sequence, features].

A layer is made with its name in the checkpoint and called with values of the graph; calling it adds its nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from exporters.graphs.builder import Graph
from exporters.graphs.interface import Value
from exporters.graphs.nodes import MICROSOFT

Layer: TypeAlias = Callable[[Value], Value]

SILU = ("silu", "swish")
ACTIVATIONS = (*SILU, "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu")


class Linear:
    """y = x W^T + b; W is stored as the checkpoint has it, [out, in]."""

    transpose = True

    def __init__(self, g: Graph, name: str, inputs: int, outputs: int, bias: bool = False, weight: str = "") -> None:
        self.g, self.name, self.outputs, self.bias = g, name, outputs, bias
        self.shape = (outputs, inputs) if self.transpose else (inputs, outputs)
        self.weight = weight or f"{name}.weight"

    def __call__(self, x: Value) -> Value:
        w = self.g.decompress(self.weight, self.shape, token=x, transpose=self.transpose)
        y = self.g.op("MatMul", x, w, at=self.name)
        if not self.bias:
            return y
        return self.g.op("Add", y, self.g.parameter(f"{self.name}.bias", (self.outputs,)), at=self.name)


class Conv1D(Linear):
    """y = x W + b: GPT-2 stores W as [in, out]."""

    transpose = False


class Embedding:
    """Rows of a table [rows, hidden] by index."""

    def __init__(self, g: Graph, name: str, rows: int, hidden: int) -> None:
        self.g, self.name, self.shape = g, name, (rows, hidden)

    def __call__(self, ids: Value) -> Value:
        table = self.g.decompress(f"{self.name}.weight", self.shape, by_row=True)
        return self.g.op("Gather", table, ids, at=self.name, axis=0)


class Norm(Protocol):
    """A norm of x, or of x + residual together with that sum."""

    def __call__(self, x: Value) -> Value: ...
    def add(self, x: Value, residual: Value) -> tuple[Value, Value]: ...


class RMSNorm:
    """y = x / sqrt(mean(x^2) + epsilon) * (offset + weight), optionally of the sum of two values."""

    def __init__(self, g: Graph, name: str, features: int, epsilon: float, offset: float = 0.0) -> None:
        self.g, self.name, self.features, self.epsilon, self.offset = g, name, features, epsilon, offset

    def __call__(self, x: Value) -> Value:
        return self.g.op("RMSNormalization", x, self.weight(), at=self.name, axis=-1, epsilon=self.epsilon)

    def add(self, x: Value, residual: Value) -> tuple[Value, Value]:
        """Return the norm of x + residual, and the sum itself."""
        y, _, _, total = self.g.ops(
            "SkipSimplifiedLayerNormalization", x, residual, self.weight(), at=self.name, domain=MICROSOFT,
            present=(True, False, False, True), epsilon=self.epsilon,
        )  # fmt: skip
        return y, total

    def weight(self) -> Value:
        """The weight with its offset; ONNX Runtime adds the two constants once, when a session is made."""
        weight = self.g.parameter(f"{self.name}.weight", (self.features,))
        if self.offset == 0:
            return weight
        return self.g.op("Add", weight, number(self.g, self.offset), at=self.name)


class LayerNorm:
    """y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias, optionally of the sum of two values."""

    def __init__(self, g: Graph, name: str, features: int, epsilon: float, bias: bool = True) -> None:
        self.g, self.name, self.features, self.epsilon, self.bias = g, name, features, epsilon, bias

    def __call__(self, x: Value) -> Value:
        return self.g.op("LayerNormalization", x, *self.parameters(), at=self.name, axis=-1, epsilon=self.epsilon)

    def add(self, x: Value, residual: Value) -> tuple[Value, Value]:
        """Return the norm of x + residual, and the sum itself."""
        y, _, _, total = self.g.ops(
            "SkipLayerNormalization", x, residual, *self.parameters(), at=self.name, domain=MICROSOFT,
            present=(True, False, False, True), epsilon=self.epsilon,
        )  # fmt: skip
        return y, total

    def parameters(self) -> list[Value]:
        """The weight, and the bias if there is one."""
        kinds = ("weight", "bias") if self.bias else ("weight",)
        return [self.g.parameter(f"{self.name}.{kind}", (self.features,)) for kind in kinds]


class Residual:
    """The residual stream: a sum whose last term is left to the next norm, which adds it on its way."""

    def __init__(self, g: Graph, x: Value) -> None:
        self.g, self._sum, self._term = g, x, ""

    def add(self, y: Value) -> None:
        """Add a value to the stream."""
        self._sum, self._term = self.value(), y

    def value(self) -> Value:
        """The sum so far."""
        if self._term:
            self._sum, self._term = self.g.op("Add", self._sum, self._term, at="residual"), ""
        return self._sum

    def normed(self, norm: Norm) -> Value:
        """The norm of the sum so far."""
        if not self._term:
            return norm(self._sum)
        y, self._sum = norm.add(self._term, self._sum)
        self._term = ""
        return y


class MLP:
    """down(activation(up(x)))."""

    def __init__(self, g: Graph, name: str, up: Linear, down: Linear, activation: str) -> None:
        self.g, self.name, self.up, self.down, self.activation = g, name, up, down, activation

    def __call__(self, x: Value) -> Value:
        return self.down(activate(self.g, self.activation, self.up(x), self.name))


class GatedMLP:
    """down(activation(gate(x)) * up(x)); `names` are those of the three products."""

    def __init__(
        self, g: Graph, name: str, hidden: int, intermediate: int, bias: bool = False, activation: str = "silu",
        names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
    ) -> None:  # fmt: skip
        self.g, self.name, self.activation = g, name, activation
        gate, up, down = names
        self.gate = Linear(g, f"{name}.{gate}", hidden, intermediate, bias)
        self.up = Linear(g, f"{name}.{up}", hidden, intermediate, bias)
        self.down = Linear(g, f"{name}.{down}", intermediate, hidden, bias)

    def __call__(self, x: Value) -> Value:
        gate = activate(self.g, self.activation, self.gate(x), self.name)
        return self.down(self.g.op("Mul", gate, self.up(x), at=self.name))


class MixtureOfExperts:
    """The sum of the outputs of the `chosen` experts that the router likes best, each times its probability.

    Shazeer et al. (arXiv 1701.06538). Every expert computes for every token and has weight 0 where it is not chosen.
    With `normalise` the chosen probabilities are divided by their sum.
    """

    def __init__(
        self, g: Graph, name: str, router: Linear, experts: Sequence[Layer], chosen: int, normalise: bool
    ) -> None:
        self.g, self.name, self.router, self.experts = g, name, router, experts
        self.chosen, self.normalise = chosen, normalise

    def __call__(self, x: Value) -> Value:
        g, shares = self.g, self.shares(x)
        total = ""
        for expert, share in zip(self.experts, shares, strict=True):
            y = g.op("Mul", expert(x), share, at=self.name)
            total = g.op("Add", total, y, at=self.name) if total else y
        return total

    def shares(self, x: Value) -> list[Value]:
        """What each expert counts for each token: [batch, sequence, 1] an expert."""
        g = self.g
        probabilities = g.op("Softmax", self.router(x), at=self.name, axis=-1)
        best, index = g.ops("TopK", probabilities, g.integers(self.chosen), at=self.name, present=(True, True), axis=-1)
        if self.normalise:
            whole = g.op("ReduceSum", best, g.integers(-1), at=self.name, keepdims=1)
            best = g.op("Div", best, whole, at=self.name)
        none = g.op("Mul", probabilities, number(g, 0.0), at=self.name)
        shares = g.op("ScatterElements", none, index, best, at=self.name, axis=-1)
        count = len(self.experts)
        return g.ops("Split", shares, at=self.name, present=(True,) * count, axis=-1, num_outputs=count)


def activate(g: Graph, kind: str, x: Value, at: str) -> Value:
    """Return the activation function `kind` (one of ACTIVATIONS) of x."""
    if kind in SILU:
        return g.op("Mul", x, g.op("Sigmoid", x, at=at), at=at)
    if kind == "relu":
        return g.op("Relu", x, at=at)
    return g.op("Gelu", x, at=at, approximate="none" if kind == "gelu" else "tanh")


def number(g: Graph, value: float) -> Value:
    """Return a float32 scalar constant."""
    return g.constant(f"float_{value!r}", np.array(value, np.float32))


def scaled(g: Graph, x: Value, factor: float, at: str) -> Value:
    """Return x * factor."""
    return x if factor == 1 else g.op("Mul", x, number(g, factor), at=at)


def softcapped(g: Graph, x: Value, cap: float | None, at: str) -> Value:
    """Return cap * tanh(x / cap): x, kept within +-cap; x itself without a cap."""
    if cap is None:
        return x
    y = g.op("Tanh", g.op("Div", x, number(g, cap), at=at), at=at)
    return g.op("Mul", y, number(g, cap), at=at)


def split(g: Graph, x: Value, sizes: Sequence[int], at: str, axis: int = -1) -> list[Value]:
    """Cut x along an axis into pieces of the given sizes."""
    return g.ops("Split", x, g.integers(*sizes), at=at, present=(True,) * len(sizes), axis=axis)
