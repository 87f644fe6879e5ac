"""How attention cuts a hidden vector into heads, and how wide they are in the KV cache."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_runtime.config.reader import LARGEST_INTEGER, ConfigReader

_KV_MULTIPLE = 8  # ORT's CPU attention takes heads of a multiple of 8


def kv_width(head_dim: int) -> int:
    """Return the width of a head in the KV cache: `head_dim` rounded up to what the attention operator takes."""
    return -(-head_dim // _KV_MULTIPLE) * _KV_MULTIPLE


@dataclass(frozen=True)
class Heads:
    """How attention cuts a hidden vector: `heads` queries on `kv_heads` keys and values of `head_dim` each."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int

    @classmethod
    def read(cls, c: ConfigReader, head_dim: int | None = None, *, kv_heads: int | None = None) -> Heads:
        """ConfigError for heads that do not fit. `head_dim` and `kv_heads` are what the family has where config.json
        does not tell, None for hidden / heads and for one a query; a null num_key_value_heads is always the latter."""
        hidden, heads = c.integer("hidden_size"), c.integer("num_attention_heads")
        kv = c.nullable_integer("num_key_value_heads", kv_heads) or heads
        if c.get("head_dim") is None and head_dim is None and hidden % heads:
            raise c.error("hidden_size", hidden, f"a multiple of num_attention_heads, {heads}, or head_dim given")
        dim = c.integer("head_dim", head_dim or hidden // heads, at_most=LARGEST_INTEGER // heads)
        return cls(hidden, heads, heads, dim).shared(c, kv)

    @classmethod
    def even(cls, c: ConfigReader, hidden_key: str = "hidden_size", heads_key: str = "num_attention_heads") -> Heads:
        """Read the heads of a family that cuts the hidden size evenly, whatever head_dim says: one key a query."""
        hidden, heads = c.integer(hidden_key), c.integer(heads_key)
        if hidden % heads:
            raise c.error(hidden_key, hidden, f"a multiple of {heads_key}, {heads}")
        return cls(hidden, heads, heads, hidden // heads)

    def shared(self, c: ConfigReader, kv_heads: int, kv_key: str = "num_key_value_heads") -> Heads:
        """Return the same heads with `kv_heads` keys and values, which `kv_key` gives."""
        if self.heads % kv_heads:
            raise c.error(kv_key, kv_heads, f"a divisor of num_attention_heads, {self.heads}")
        return replace(self, kv_heads=kv_heads)

    @property
    def q(self) -> int:
        """Features of all queries."""
        return self.heads * self.head_dim

    @property
    def kv(self) -> int:
        """Features of all keys, and of all values."""
        return self.kv_heads * self.head_dim
