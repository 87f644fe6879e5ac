"""Element types, and what all parts of the oracle need: sections 2 and 3 of docs/format.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np


@dataclass(frozen=True)
class Dtype:
    """One line of section 3, and of the table of elements in 4.1."""

    id: int
    numpy: np.dtype[Any]
    exponent: int = 0  # width in bits; 0 for the integers
    mantissa: int = 0
    raw: int = 0  # R, the number of raw arrays

    @property
    def code_mantissa(self) -> int:
        """How many bits of w the code byte holds."""
        return self.mantissa + 1 - 8 * self.raw


DTYPES = {
    "bf16": Dtype(1, np.dtype(ml_dtypes.bfloat16), 8, 7, 1),
    "fp16": Dtype(2, np.dtype(np.float16), 5, 10, 1),
    "fp32": Dtype(3, np.dtype(np.float32), 8, 23, 3),
    "int8": Dtype(4, np.dtype(np.int8)),
    "uint8": Dtype(5, np.dtype(np.uint8)),
    "fp8_e4m3": Dtype(6, np.dtype(ml_dtypes.float8_e4m3fn), 4, 3),
    "fp8_e5m2": Dtype(7, np.dtype(ml_dtypes.float8_e5m2), 5, 2),
}


class OracleError(ValueError):
    """The blob breaks a MUST of the format."""


def demand(condition: bool, what: str) -> None:
    if not condition:
        raise OracleError(what)


def align64(n: int) -> int:
    return -(-n // 64) * 64
