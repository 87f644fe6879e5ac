"""How weights are to be encoded, as a user asks for it: `ans`, `packed:hi3`, `auto:bus:hi3@0.5`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import boards
from edge_runtime import codec as blobs
from edge_runtime.errors import ConfigError
from exporters.package.codec_names import AUTO, BUS, OBJECTIVES, candidates, codecs, layouts

THIS_MACHINE = "this"


@dataclass(frozen=True)
class CodecChoice:
    """A codec, or "auto" with the objective that its candidates serve; ConfigError for what does not exist.

    `layout` is one of the codec's, or of packed where "auto" chooses that; "" is the smallest. Of each weight the part
    `fraction`, 0 to 1, is compressed at all, for decoders slower than the bus; None is everything.
    As text: CODEC[:LAYOUT][@FRACTION] or auto[:OBJECTIVE[:LAYOUT]][@FRACTION]; `str` gives it with the objective.
    """

    codec: str = AUTO
    objective: str = ""  # of "auto" alone; BUS if nobody says
    layout: str = ""
    fraction: float | None = None

    def __post_init__(self) -> None:
        _check("codec", self.codec, codecs())
        if self.codec == AUTO and not self.objective:
            object.__setattr__(self, "objective", BUS)
        if self.objective:
            _check(f"objective of {self.codec}", self.objective, OBJECTIVES if self.codec == AUTO else ())
        if self.layout:
            _check(f"layout of {self.codec}", self.layout, layouts(self.codec))
        if self.fraction is not None and not 0 <= self.fraction <= 1:
            raise ConfigError(f"the fraction that is compressed is {self.fraction:g}; expected 0 to 1")

    @classmethod
    def parse(cls, text: str) -> CodecChoice:
        """Read a choice from its text; ConfigError that names the part that is wrong, and what may stand there."""
        name, at, number = text.partition("@")
        codec, *details = name.split(":")
        most = 2 if codec == AUTO else 1
        if len(details) > most or "" in details:
            raise ConfigError(f"codec is {text!r}; expected CODEC:LAYOUT@FRACTION or auto:OBJECTIVE:LAYOUT@FRACTION")
        objective, layout = (*details, "", "")[:2] if codec == AUTO else ("", *details, "")[:2]
        try:
            fraction = float(number) if at else None
        except ValueError:
            raise ConfigError(f"the fraction that is compressed is {number!r}; expected 0 to 1") from None
        return cls(codec, objective, layout, fraction)

    def __str__(self) -> str:
        name = ":".join(part for part in (self.codec, self.objective, self.layout) if part)
        return name if self.fraction is None else f"{name}@{self.fraction}"

    @property
    def candidates(self) -> tuple[str, ...]:
        """What is tried, in the words of edge_runtime.codec; of several the smallest wins."""
        if self.codec != AUTO:
            return (f"{self.codec}:{self.layout}" if self.layout else self.codec,)
        packed = f"packed:{self.layout}" if self.layout else "packed"
        return tuple(packed if name == "packed" else name for name in candidates(self.objective))


def packed_layout(board: str) -> str:
    """Return the layout that `board` (name or file of a profile, or THIS_MACHINE) computes from fastest."""
    if board == THIS_MACHINE:
        return blobs.fastest_packed_layout()
    isa = boards.load(board).get("cpu.isa")
    features = " ".join(isa.value) if isa is not None and isinstance(isa.value, list | tuple) else ""
    return "hi3" if "avx512_vbmi2" in features else "hi4p"


def _check(what: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        expected = f"one of {', '.join(known)}" if known else "none"
        raise ConfigError(f"the {what} is {value!r}; expected {expected}")
