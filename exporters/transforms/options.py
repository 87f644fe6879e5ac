"""What a user asks of the transforms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ConfigError
from exporters.transforms.prune import Pruning
from exporters.transforms.quantize import group_of


@dataclass(frozen=True)
class LossyOptions:
    """Passes and their targets; without `quantize` and `pruning` nothing is changed.

    `granularity` as in `group_of`; `scaling` compression-aware. `step` is the least step of INT8 relative to a weight's
    root mean square (0: as fine as eight bits allow); `target_bits` per weight or `max_kl` nats per token find it.
    `compensate` lets the rest of a row make up for what is pruned or rounded. `calibration` and `text` are UTF-8 files;
    without them the model itself writes some text; with `documents` an empty line in them ends a text. `reference` is a
    lossless export of the same model, made and deleted again without. `measure` evaluates the result against it.
    """

    quantize: bool = False
    granularity: str = "row"
    scaling: bool = True
    step: float = 0.0
    target_bits: float | None = None
    max_kl: float | None = None
    pruning: Pruning | None = None
    compensate: bool = True
    calibration: Path | None = None
    text: Path | None = None
    documents: bool = False
    reference: Path | None = None
    measure: bool = True

    def __post_init__(self) -> None:
        group_of(self.granularity)
        if not self.quantize and (self.target_bits is not None or self.max_kl is not None or self.step):
            raise ConfigError("a target of bits or divergence needs quantization to int8")
        if self.target_bits is not None and self.max_kl is not None:
            raise ConfigError("a target of bits and one of divergence: expected one of them")
        if self.target_bits is not None and not 0 < self.target_bits <= 16:
            raise ConfigError(f"target bits is {self.target_bits:g}; expected more than 0 and at most 16")
        if self.max_kl is not None and not 0 < self.max_kl < float("inf"):
            raise ConfigError(f"largest divergence is {self.max_kl:g}; expected more than 0")
        if self.step < 0:
            raise ConfigError(f"step is {self.step:g}; expected 0 or more")

    @property
    def group(self) -> int:
        """Columns that share a scale, as in exporters/transforms/quantize.py."""
        return group_of(self.granularity)
