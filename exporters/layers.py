"""The layers that decoder-only models are made of, as ONNX. Activations are float32, [batch, sequence, features].

A layer is made with its name in the checkpoint and called with values of the graph; calling it adds its nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from exporters.graph import FLOAT, INT32, INT64, MICROSOFT, Graph, Value
from exporters.rope import Rope

_KV_MULTIPLE = 8  # ORT's CPU attention takes heads of a multiple of 8,
_FUSED_ROPE_MULTIPLE = 16  # and rotates them itself only in multiples of 16


def kv_width(head_dim: int) -> int:
    """Return the width of a head in the KV cache: `head_dim` rounded up to what the attention operator takes."""
    return -(-head_dim // _KV_MULTIPLE) * _KV_MULTIPLE


class Linear:
    """y = x W^T + b; W is stored as the checkpoint has it, [out, in]."""

    def __init__(self, g: Graph, name: str, inputs: int, outputs: int, bias: bool = False, weight: str = "") -> None:
        self.g, self.name, self.shape, self.bias = g, name, (outputs, inputs), bias
        self.weight = weight or f"{name}.weight"

    def __call__(self, x: Value) -> Value:
        w = self.g.decompress(self.weight, self.shape, token=x, transpose=True)
        y = self.g.op("MatMul", x, w, at=self.name)
        if not self.bias:
            return y
        return self.g.op("Add", y, self.g.parameter(f"{self.name}.bias", self.shape[:1]), at=self.name)


class Embedding:
    """Rows of a table [vocabulary, hidden] by token id."""

    def __init__(self, g: Graph, name: str, vocabulary: int, hidden: int) -> None:
        self.g, self.name, self.shape = g, name, (vocabulary, hidden)

    def __call__(self, ids: Value) -> Value:
        table = self.g.decompress(f"{self.name}.weight", self.shape, by_row=True)
        return self.g.op("Gather", table, ids, at=self.name, axis=0)


class RMSNorm:
    """y = x / sqrt(mean(x^2) + epsilon) * weight, optionally of the sum of two values."""

    def __init__(self, g: Graph, name: str, features: int, epsilon: float) -> None:
        self.g, self.name, self.features, self.epsilon = g, name, features, epsilon

    def __call__(self, x: Value) -> Value:
        weight = self.g.parameter(f"{self.name}.weight", (self.features,))
        return self.g.op("RMSNormalization", x, weight, at=self.name, axis=-1, epsilon=self.epsilon)

    def add(self, x: Value, residual: Value) -> tuple[Value, Value]:
        """Return the norm of x + residual, and the sum itself."""
        weight = self.g.parameter(f"{self.name}.weight", (self.features,))
        y, _, _, total = self.g.ops(
            "SkipSimplifiedLayerNormalization", x, residual, weight, at=self.name, domain=MICROSOFT,
            present=(True, False, False, True), epsilon=self.epsilon,
        )  # fmt: skip
        return y, total

    def add_last(self, x: Value, residual: Value) -> Value:
        """Return the norm of x + residual where nobody needs the sum."""
        weight = self.g.parameter(f"{self.name}.weight", (self.features,))
        return self.g.op(
            "SkipSimplifiedLayerNormalization", x, residual, weight, at=self.name, domain=MICROSOFT,
            epsilon=self.epsilon,
        )  # fmt: skip


class GatedMLP:
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, g: Graph, name: str, hidden: int, intermediate: int, bias: bool = False) -> None:
        self.g, self.name = g, name
        self.gate = Linear(g, f"{name}.gate_proj", hidden, intermediate, bias)
        self.up = Linear(g, f"{name}.up_proj", hidden, intermediate, bias)
        self.down = Linear(g, f"{name}.down_proj", intermediate, hidden, bias)

    def __call__(self, x: Value) -> Value:
        return self.down(self.g.op("Mul", self.silu(self.gate(x)), self.up(x), at=self.name))

    def silu(self, x: Value) -> Value:
        """x * sigmoid(x)."""
        return self.g.op("Mul", x, self.g.op("Sigmoid", x, at=self.name), at=self.name)


@dataclass(frozen=True)
class RotaryEmbedding:
    """Positions as rotations of pairs (i, i + head_dim / 2) of a head; `cos` and `sin` are tables by position."""

    g: Graph
    head_dim: int
    cos: Value
    sin: Value

    @classmethod
    def make(cls, g: Graph, rope: Rope, positions: int, head_dim: int) -> RotaryEmbedding:
        """Add the tables to the graph."""
        cos, sin = rope.tables(positions, head_dim)
        return cls(g, head_dim, g.constant("rotary_cos", cos), g.constant("rotary_sin", sin))

    @property
    def fused(self) -> bool:
        """Whether the attention operator can rotate by itself."""
        return self.head_dim % _FUSED_ROPE_MULTIPLE == 0

    def __call__(self, x: Value, position_ids: Value, at: str) -> Value:
        return self.g.op("RotaryEmbedding", x, position_ids, self.cos, self.sin, at=at, domain=MICROSOFT)


class DecoderIO:
    """Inputs and outputs of a decoder with a KV cache, named as Optimum and onnxruntime-genai name them."""

    def __init__(self, g: Graph, layers: int, kv_heads: int, head_dim: int) -> None:
        self.g, self._kv = g, (kv_heads, kv_width(head_dim))
        self.input_ids = g.input("input_ids", INT64, ["batch_size", "sequence_length"])
        self.attention_mask = g.input("attention_mask", INT64, ["batch_size", "total_sequence_length"])
        self.position_ids = g.input("position_ids", INT64, ["batch_size", "sequence_length"])
        past = self._kv_shape("past_sequence_length")
        self.past = [
            (g.input(f"past_key_values.{i}.key", FLOAT, past), g.input(f"past_key_values.{i}.value", FLOAT, past))
            for i in range(layers)
        ]
        self.present: list[tuple[Value, Value]] = []
        # The attention operator wants the index of each sequence's last token and the longest sequence.
        lengths = g.op("ReduceSum", self.attention_mask, g.integers(1), at="attention_mask", keepdims=0)
        last = g.op("Sub", lengths, g.integers(1), at="attention_mask")
        self.last_index = g.op("Cast", last, at="attention_mask", to=INT32)
        shape = g.op("Shape", self.attention_mask, at="attention_mask")
        total = g.op("Gather", shape, g.constant("index_1", np.array(1, np.int64)), at="attention_mask", axis=0)
        self.total_length = g.op("Cast", total, at="attention_mask", to=INT32)

    def finish(self, logits: Value, vocabulary: int) -> None:
        """Declare the outputs."""
        self.g.output(logits, "logits", ["batch_size", "sequence_length", vocabulary])
        for i, (key, value) in enumerate(self.present):
            self.g.output(key, f"present.{i}.key", self._kv_shape("present_sequence_length"))
            self.g.output(value, f"present.{i}.value", self._kv_shape("present_sequence_length"))

    def _kv_shape(self, length: str) -> list[int | str]:
        return ["batch_size", self._kv[0], length, self._kv[1]]


class GroupQueryAttention:
    """Causal attention of `heads` queries on `kv_heads` keys and values with a KV cache and rotary positions."""

    def __init__(
        self, g: Graph, name: str, hidden: int, heads: int, kv_heads: int, head_dim: int, bias: bool = False
    ) -> None:
        self.g, self.name, self.heads, self.kv_heads, self.head_dim = g, name, heads, kv_heads, head_dim
        self.q = Linear(g, f"{name}.q_proj", hidden, heads * head_dim, bias)
        self.k = Linear(g, f"{name}.k_proj", hidden, kv_heads * head_dim, bias)
        self.v = Linear(g, f"{name}.v_proj", hidden, kv_heads * head_dim, bias)
        self.o = Linear(g, f"{name}.o_proj", heads * head_dim, hidden, bias)

    def __call__(self, x: Value, io: DecoderIO, rotary: RotaryEmbedding) -> Value:
        q, k, v = self.q(x), self.k(x), self.v(x)
        if not rotary.fused:
            q = rotary(q, io.position_ids, f"{self.name}.q_rotary")
            k = rotary(k, io.position_ids, f"{self.name}.k_rotary")
        tables = (rotary.cos, rotary.sin, io.position_ids) if rotary.fused else ()
        past_key, past_value = io.past[len(io.present)]
        y, key, value = self.g.ops(
            "GroupQueryAttention", self.pad(q, self.heads), self.pad(k, self.kv_heads), self.pad(v, self.kv_heads),
            past_key, past_value, io.last_index, io.total_length, *tables,
            at=self.name, domain=MICROSOFT, present=(True, True, True), num_heads=self.heads,
            kv_num_heads=self.kv_heads, scale=1 / math.sqrt(self.head_dim), do_rotary=int(rotary.fused),
        )  # fmt: skip
        io.present.append((key, value))
        return self.o(self.cut(y, self.heads))

    def pad(self, x: Value, heads: int) -> Value:
        """Widen every head to the cache's width with zeros, which change neither products nor sums."""
        missing = kv_width(self.head_dim) - self.head_dim
        if missing == 0:
            return x
        x = self.g.op("Reshape", x, self.g.integers(0, 0, heads, self.head_dim), at=self.name)
        x = self.g.op("Pad", x, self.g.integers(0, 0, 0, 0, 0, 0, 0, missing), at=self.name)
        return self.g.op("Reshape", x, self.g.integers(0, 0, heads * kv_width(self.head_dim)), at=self.name)

    def cut(self, x: Value, heads: int) -> Value:
        """Undo `pad`."""
        width = kv_width(self.head_dim)
        if width == self.head_dim:
            return x
        x = self.g.op("Reshape", x, self.g.integers(0, 0, heads, width), at=self.name)
        begin, end, axis = self.g.integers(0), self.g.integers(self.head_dim), self.g.integers(3)
        x = self.g.op("Slice", x, begin, end, axis, at=self.name)
        return self.g.op("Reshape", x, self.g.integers(0, 0, heads * self.head_dim), at=self.name)
