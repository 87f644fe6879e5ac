"""Products with a weight matrix that lies in memory decoded, or packed as its blob has it (docs/format.md, 4.3)."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_runtime import codec, native
from edge_runtime.errors import CodecError

Floats: TypeAlias = npt.NDArray[np.float32]

FORMS = {"decoded": 0, "packed": 1}


class Matrix:
    """A weight of two dimensions, in memory of its own. Calls release the GIL; several threads may share a matrix."""

    def __init__(self, blob: Any, form: str = "decoded", threads: int = 0) -> None:
        """Takes a blob of rank 2, which is not needed any more after.

        form: "decoded", for bf16, fp16, fp32 and int8, or "packed", which stays as stored, for bf16 in codec packed, or
        in bitmap with plain values.
        threads: 0 for one a core. CodecError for a blob that the form does not take; FormatError for a damaged one.
        """
        if form not in FORMS:
            raise CodecError(f"form: got {form!r}, expected one of {', '.join(FORMS)}")
        data = np.frombuffer(blob, np.uint8)
        self.shape: tuple[int, ...] = codec.describe(data).shape
        self.dtype: np.dtype[Any] = codec.describe(data).numpy_dtype
        handle = ctypes.c_void_p()
        create = native.library().lpc_matrix_create
        native.check(create(data.ctypes.data, data.nbytes, FORMS[form], threads, ctypes.byref(handle)))
        self._handle = handle
        weakref.finalize(self, native.library().lpc_matrix_free, handle)

    def set_scales(self, scales: Floats, group: int = 0) -> None:
        """Gives a decoded int8 matrix its scales: float32 [rows], or [rows, groups of `group` columns].

        Products are then with scale times weight, and only with the transpose. CodecError for another dtype or shape.
        """
        values = np.ascontiguousarray(scales, np.float32)
        set_scales = native.library().lpc_matrix_set_scales
        native.check(set_scales(self._handle, group or max(self.shape[1], 1), values.ctypes.data, values.size))

    def multiply(self, x: Floats, transposed: bool = True, threads: int = 0, out: Floats | None = None) -> Floats:
        """x [m, inputs] float32 times the matrix's transpose (its rows are outputs), or the matrix: [m, outputs].

        Bit for bit the same from either form of the matrix, as long as the SIMD implementation is the same.
        """
        return self.product(x, transposed, threads, out)()

    def product(
        self, x: Floats, transposed: bool = True, threads: int = 0, out: Floats | None = None
    ) -> Callable[[], Floats]:
        """multiply() to be called again and again: arguments are checked and looked up once, here."""
        outputs, inputs = self.shape if transposed else self.shape[::-1]
        if x.dtype != np.float32 or x.ndim != 2 or x.shape[1] != inputs or not x.flags.c_contiguous:
            raise CodecError(f"x: got {x.dtype} of shape {x.shape}, expected dense float32 of shape (m, {inputs})")
        y = np.empty((len(x), outputs), np.float32) if out is None else out
        if y.dtype != np.float32 or y.shape != (len(x), outputs) or not y.flags.c_contiguous:
            raise CodecError(f"out: got {y.dtype} of shape {y.shape}, expected dense float32 {(len(x), outputs)}")
        pointers = x.ctypes.data, x.size, y.ctypes.data, y.size
        call = partial(native.library().lpc_matrix_multiply, self._handle, int(transposed), len(x), *pointers, threads)

        def multiply(_alive: tuple[Matrix, Floats] = (self, x)) -> Floats:
            native.check(call())
            return y

        return multiply

    def decode(self, out: npt.NDArray[Any] | None = None, threads: int = 0) -> npt.NDArray[Any]:
        """The matrix as it decodes; from the decoded form a copy."""
        values = np.empty(self.shape, self.dtype) if out is None else out
        decode = native.library().lpc_matrix_decode
        native.check(decode(self._handle, values.ctypes.data, values.nbytes, threads))
        return values

    def read(self, threads: int = 0) -> int:
        """Reads all of the matrix's memory as fast as can be, and returns its size in bytes."""
        size = ctypes.c_uint64()
        native.check(native.library().lpc_matrix_read(self._handle, threads, ctypes.byref(size)))
        return size.value
