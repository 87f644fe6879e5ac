"""The shape of a decoder-only model: what `config.json` says of it, and what `genai_config.json` keeps of that."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.errors import ConfigError
from edge_runtime.io.checked_json import JsonObject

KV_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
"""Bytes of a number in the KV cache."""
_MOST_LAYERS, _MOST_WIDTH = 1 << 16, 1 << 24  # far more than any model has


@dataclass(frozen=True)
class DecoderShape:
    """Layers and widths; `kv_head_dim` is the width of a head in the KV cache."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    kv_head_dim: int

    @classmethod
    def read(cls, decoder: JsonObject) -> DecoderShape:
        """Read the decoder of a genai_config.json; FormatError if a field is missing or wrong."""
        return cls(
            hidden_size=decoder.positive("hidden_size", _MOST_WIDTH),
            layers=decoder.positive("num_hidden_layers", _MOST_LAYERS),
            heads=decoder.positive("num_attention_heads", _MOST_WIDTH),
            kv_heads=decoder.positive("num_key_value_heads", _MOST_WIDTH),
            kv_head_dim=decoder.positive("head_size", _MOST_WIDTH),
        )

    def as_genai(self) -> dict[str, int]:
        """Return what `read` reads."""
        return {
            "head_size": self.kv_head_dim,
            "hidden_size": self.hidden_size,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
        }

    def kv_bytes(self, positions: int, kv_dtype: str) -> int:
        """Bytes of keys and values for so many positions; ConfigError for an unknown `kv_dtype`."""
        if kv_dtype not in KV_BYTES:
            raise ConfigError(f"kv_dtype is {kv_dtype!r}; expected one of {', '.join(KV_BYTES)}")
        return 2 * self.layers * self.kv_heads * self.kv_head_dim * positions * KV_BYTES[kv_dtype]


@dataclass(frozen=True)
class Decoder:
    """What every decoder-only family has.

    `context_length` is the largest number of positions, `usual_length` what config.json states of them: rotary scaling
    may extend it.
    """

    shape: DecoderShape
    vocab_size: int
    context_length: int
    usual_length: int
