"""Attention with a KV cache: inputs and outputs of the decoder, rotary positions, grouped queries.

The cache of a sequence has no gaps: token i of a sequence lies in slot i. So a batch of texts of different lengths is
padded on the right, and the attention mask is 1 for the tokens that there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_runtime.config.heads import Heads, kv_width
from edge_runtime.config.rope import Rope
from exporters.blocks.layers import Linear, Norm
from exporters.graphs.builder import Graph
from exporters.graphs.interface import Value
from exporters.graphs.nodes import FLOAT, INT32, INT64, MICROSOFT

TEXT_LENGTH = "text_length"
_FUSED_ROPE_MULTIPLE = 16  # ORT's CPU attention rotates heads itself only in multiples of 16


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
        self._windows: dict[int, Value] = {}
        # The attention operator wants the index of each sequence's last token and the longest sequence.
        at = "attention_mask"
        lengths = g.op("ReduceSum", self.attention_mask, g.integers(1), at=at, keepdims=0)
        self.last_index = g.op("Cast", g.op("Sub", lengths, g.integers(1), at=at), at=at, to=INT32)
        shape = g.op("Shape", self.attention_mask, at=at)
        self._slots = g.op("Gather", shape, g.constant("index_1", np.array(1, np.int64)), at=at, axis=0)
        self.total_length = g.op("Cast", self._slots, at=at, to=INT32)

    def window(self, size: int) -> Value:
        """What is added to the scores so that a token sees itself and the `size` - 1 tokens before it: 0 or -infinity.

        The operator's own local_window_size counts differently in onnxruntime 1.23 and 1.31; this does not.
        """
        if size not in self._windows:
            g, at = self.g, f"window_{size}"
            positions = g.op("Unsqueeze", self.position_ids, g.integers(1, 3), at=at)
            zero, one = (g.constant(f"index_{i}", np.array(i, np.int64)) for i in (0, 1))
            slots = g.op("Range", zero, self._slots, one, at=at)
            near = g.op("Less", g.op("Sub", positions, slots, at=at), g.integers(size), at=at)
            inside, outside = (g.constant(f"float_{v}", np.array(v, np.float32)) for v in (0.0, -np.inf))
            self._windows[size] = g.op("Where", near, inside, outside, at=at)
        return self._windows[size]

    def finish(self, logits: Value, vocabulary: int) -> None:
        """Declare the outputs."""
        self.g.output(logits, "logits", ["batch_size", "sequence_length", vocabulary])
        for i, (key, value) in enumerate(self.present):
            self.g.output(key, f"present.{i}.key", self._kv_shape("present_sequence_length"))
            self.g.output(value, f"present.{i}.value", self._kv_shape("present_sequence_length"))

    def _kv_shape(self, length: str) -> list[int | str]:
        return ["batch_size", self._kv[0], length, self._kv[1]]


@dataclass(frozen=True)
class RotaryEmbedding:
    """Positions as rotations of pairs (i, i + rotary_dim / 2) of a head; `rows` are the rows of the tables `cos` and
    `sin` that belong to the tokens."""

    g: Graph
    head_dim: int
    rotary_dim: int
    cos: Value
    sin: Value
    rows: Value

    @classmethod
    def make(cls, io: DecoderIO, rope: Rope, positions: int, head_dim: int, name: str = "rotary") -> RotaryEmbedding:
        """Add the tables to the graph; `name` tells several from one another."""
        g, (cos, sin) = io.g, rope.tables(positions, head_dim)
        tables = g.constant(f"{name}_cos", cos), g.constant(f"{name}_sin", sin)
        return cls(g, head_dim, rope.rotary_dim(head_dim), *tables, _rows(io, rope, positions, name))

    @property
    def fused(self) -> bool:
        """Whether the attention operator can rotate by itself."""
        return self.head_dim % _FUSED_ROPE_MULTIPLE == 0 and self.rotary_dim % _FUSED_ROPE_MULTIPLE == 0

    def __call__(self, x: Value, heads: int, at: str) -> Value:
        part = {}
        if self.rotary_dim != self.head_dim:
            part = {"num_heads": heads, "rotary_embedding_dim": self.rotary_dim}
        return self.g.op("RotaryEmbedding", x, self.rows, self.cos, self.sin, at=at, domain=MICROSOFT, **part)


def _rows(io: DecoderIO, rope: Rope, positions: int, name: str) -> Value:
    """The position itself; LongRoPE's long table begins at the original length and holds once the text exceeds it.

    The text is as long as its last position tells, or as the optional input says: a prompt that takes several passes
    is told by the input, so that all of them take the table that the whole of it needs.
    """
    trained = rope.longrope.original_max_position_embeddings if rope.longrope else positions
    if positions <= trained:
        return io.position_ids
    g = io.g
    last = g.op("ReduceMax", io.position_ids, at=name, keepdims=0)
    seen = g.op("Add", last, g.constant("index_1", np.array(1, np.int64)), at=name)
    length = g.op("Max", seen, g.optional_input(TEXT_LENGTH, np.array(0, np.int64)), at=name)
    exceeds = g.op("Greater", length, g.constant(f"length_{trained}", np.array(trained, np.int64)), at=name)
    offset = g.op("Mul", g.op("Cast", exceeds, at=name, to=INT64), g.integers(trained), at=name)
    return g.op("Add", io.position_ids, offset, at=name)


class GroupQueryAttention:
    """Causal attention of queries on cached keys and values. `scale` is 1 / sqrt(head_dim) unless given; `softcap`
    keeps the scores within its bounds."""

    def __init__(
        self, g: Graph, name: str, heads: Heads, scale: float | None = None, softcap: float | None = None
    ) -> None:
        self.g, self.name, self.heads = g, name, heads
        self.attributes: dict[str, float] = {"scale": scale or 1 / math.sqrt(heads.head_dim)}
        if softcap is not None:
            self.attributes["softcap"] = softcap

    def __call__(
        self, q: Value, k: Value, v: Value, io: DecoderIO, rotary: RotaryEmbedding | None = None, window: int = 0
    ) -> Value:
        """Return the values of every query, [batch, sequence, heads * head_dim]; `window` 0 sees all tokens before."""
        heads, kv_heads = self.heads.heads, self.heads.kv_heads
        fused = rotary is not None and rotary.fused
        if rotary is not None and not rotary.fused:
            q = rotary(q, heads, f"{self.name}.q_rotary")
            k = rotary(k, kv_heads, f"{self.name}.k_rotary")
        tables = [rotary.cos, rotary.sin, rotary.rows] if rotary is not None and fused else ["", "", ""]
        optional = [*tables, io.window(window)] if window else tables if fused else []
        past_key, past_value = io.past[len(io.present)]
        y, key, value = self.g.ops(
            "GroupQueryAttention", self.pad(q, heads), self.pad(k, kv_heads), self.pad(v, kv_heads),
            past_key, past_value, io.last_index, io.total_length, *optional,
            at=self.name, domain=MICROSOFT, present=(True, True, True), num_heads=heads, kv_num_heads=kv_heads,
            do_rotary=int(fused), **self.attributes,
        )  # fmt: skip
        io.present.append((key, value))
        return self.cut(y, heads)

    def pad(self, x: Value, heads: int) -> Value:
        """Widen every head to the cache's width with zeros, which change neither products nor sums."""
        dim, width = self.heads.head_dim, kv_width(self.heads.head_dim)
        if width == dim:
            return x
        x = self.g.op("Reshape", x, self.g.integers(0, 0, heads, dim), at=self.name)
        x = self.g.op("Pad", x, self.g.integers(0, 0, 0, 0, 0, 0, 0, width - dim), at=self.name)
        return self.g.op("Reshape", x, self.g.integers(0, 0, heads * width), at=self.name)

    def cut(self, x: Value, heads: int) -> Value:
        """Undo `pad`."""
        dim, width = self.heads.head_dim, kv_width(self.heads.head_dim)
        if width == dim:
            return x
        x = self.g.op("Reshape", x, self.g.integers(0, 0, heads, width), at=self.name)
        x = self.g.op("Slice", x, self.g.integers(0), self.g.integers(dim), self.g.integers(3), at=self.name)
        return self.g.op("Reshape", x, self.g.integers(0, 0, heads * dim), at=self.name)


class SelfAttention:
    """o(attend(q(x), k(x), v(x))) with four products; queries and keys may have norms of their own.

    `q_norm` and `k_norm` are given values of all heads; `out` is the last product's name.
    """

    def __init__(
        self, g: Graph, name: str, heads: Heads, *, bias: bool = False, out: str = "o_proj",
        out_bias: bool | None = None, scale: float | None = None, softcap: float | None = None,
        q_norm: Callable[[Value], Value] | None = None, k_norm: Callable[[Value], Value] | None = None,
    ) -> None:  # fmt: skip
        self.q = Linear(g, f"{name}.q_proj", heads.hidden, heads.q, bias)
        self.k = Linear(g, f"{name}.k_proj", heads.hidden, heads.kv, bias)
        self.v = Linear(g, f"{name}.v_proj", heads.hidden, heads.kv, bias)
        self.o = Linear(g, f"{name}.{out}", heads.q, heads.hidden, bias if out_bias is None else out_bias)
        self.attend = GroupQueryAttention(g, name, heads, scale, softcap)
        self.q_norm, self.k_norm = q_norm, k_norm

    def __call__(self, x: Value, io: DecoderIO, rotary: RotaryEmbedding | None = None, window: int = 0) -> Value:
        q, k, v = self.q(x), self.k(x), self.v(x)
        q = self.q_norm(q) if self.q_norm else q
        k = self.k_norm(k) if self.k_norm else k
        return self.o(self.attend(q, k, v, io, rotary, window))


class HeadNorm:
    """A norm of every head by itself; all heads share its weight."""

    def __init__(self, g: Graph, name: str, heads: int, head_dim: int, norm: Norm) -> None:
        self.g, self.name, self.heads, self.head_dim, self.norm = g, name, heads, head_dim, norm

    def __call__(self, x: Value) -> Value:
        x = self.g.op("Reshape", x, self.g.integers(0, 0, self.heads, self.head_dim), at=self.name)
        return self.g.op("Reshape", self.norm(x), self.g.integers(0, 0, self.heads * self.head_dim), at=self.name)
