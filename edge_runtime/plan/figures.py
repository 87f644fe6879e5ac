"""The speeds that a plan is made from, each with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.errors import ConfigError
from edge_runtime.facts import codecs
from edge_runtime.io.typed_json import Json

ASSUMED = "assumed"
_ASSUMED_DRAM = 8e9
_ASSUMED_BUS = 0.5e9


@dataclass(frozen=True)
class Rate:
    """Bytes a second; `kind` is vendor, measured, derived or assumed; `source` says whose figure it is."""

    bytes_per_s: float
    kind: str = "measured"
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.bytes_per_s < float("inf"):
            raise ConfigError(f"rate is {self.bytes_per_s} bytes/s; expected a positive number ({self.source})")

    def as_dict(self) -> dict[str, Json]:
        """For JSON: the rate in GB/s (10^9), kind and source."""
        return {"gb_per_s": self.bytes_per_s / 1e9, "kind": self.kind, "source": self.source}


@dataclass(frozen=True)
class Figures:
    """A machine's speeds on `threads` threads.

    `dram` is reading memory, `bus` reading the weight file; `decode` gives decoded bytes a second of each codec.
    """

    name: str
    threads: int
    dram: Rate
    bus: Rate
    decode: Mapping[str, Rate] = field(default_factory=dict)

    @classmethod
    def assumed(cls, name: str, threads: int, **known: Any) -> Figures:
        """Figures with a cautious guess, marked as such, for what `known` (fields of Figures) leaves out or is None."""
        guess = f"no figure for {name}: run lpc-board measure there"
        given = {key: value for key, value in known.items() if value is not None}
        return cls(
            name=name,
            threads=threads,
            dram=given.get("dram", Rate(_ASSUMED_DRAM, ASSUMED, guess)),
            bus=given.get("bus", Rate(_ASSUMED_BUS, ASSUMED, guess)),
            decode=given.get("decode", {}),
        )

    def decode_rate(self, codec: str) -> Rate:
        """Decoded bytes a second of `codec`, assumed where it was not measured; ConfigError for an unknown codec."""
        if codec in self.decode:
            return self.decode[codec]
        if codec not in codecs():
            raise ConfigError(f"codec is {codec!r}; expected one of {', '.join(codecs())}")
        # More cores help, but memory's own speed is the limit: a decoder reads and writes.
        rate = min(codecs()[codec].assumed_decode_bytes_per_s * self.threads, self.dram.bytes_per_s / 2)
        return Rate(rate, ASSUMED, f"no decode rate of {codec} for {self.name}: run lpc-board measure there")

    def as_dict(self, codecs: list[str]) -> dict[str, Json]:
        """For JSON: name, threads and rates, those of `codecs` among them."""
        return {
            "name": self.name,
            "threads": self.threads,
            "dram": self.dram.as_dict(),
            "bus": self.bus.as_dict(),
            "decode": {codec: self.decode_rate(codec).as_dict() for codec in codecs},
        }
