"""What the passes found for one weight beside its values: for the report, and for an export that takes it over."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Found:
    """`pruned` elements were looked at, `zeros` of them chosen. Of int8: how often each integer occurs, the scales."""

    zeros: int = 0
    pruned: int = 0
    counts: NDArray[np.int64] | None = None
    scales: NDArray[np.float32] | None = None

    @property
    def quantized(self) -> int:
        """Elements that became integers."""
        return 0 if self.counts is None else int(self.counts.sum())

    def as_dict(self) -> dict[str, Any]:
        """For JSON; scales as base64 of little-endian float32."""
        found: dict[str, Any] = {"zeros": self.zeros, "pruned": self.pruned}
        if self.counts is not None and self.scales is not None:
            scales = base64.b64encode(self.scales.astype("<f4").tobytes()).decode()
            found |= {"counts": self.counts.tolist(), "scales": scales, "shape": list(self.scales.shape)}
        return found

    @classmethod
    def of(cls, found: dict[str, Any]) -> Found:
        """The opposite; KeyError, TypeError or ValueError for anything else."""
        if "scales" not in found:
            return cls(int(found["zeros"]), int(found["pruned"]))
        scales = np.frombuffer(base64.b64decode(found["scales"], validate=True), "<f4").reshape(found["shape"])
        counts = np.asarray(found["counts"], np.int64)
        return cls(int(found["zeros"]), int(found["pruned"]), counts, scales.astype(np.float32))
