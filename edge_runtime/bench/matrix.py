"""Products with a weight matrix that lies in memory decoded, or packed as its blob has it (docs/format.md, 4.3)."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
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
        outputs, inputs = self.shape if transposed else self.shape[::-1]
        _check_activations(x, inputs)
        y = _output(out, (len(x), outputs))
        multiply = native.library().lpc_matrix_multiply
        native.check(
            multiply(self._handle, int(transposed), len(x), x.ctypes.data, x.size, y.ctypes.data, y.size, threads)
        )
        return y

    def decode(self, out: npt.NDArray[Any] | None = None, threads: int = 0) -> npt.NDArray[Any]:
        """The matrix as it decodes; from the decoded form a copy."""
        values = np.empty(self.shape, self.dtype) if out is None else out
        decode = native.library().lpc_matrix_decode
        native.check(decode(self._handle, values.ctypes.data, values.nbytes, threads))
        return values

    def read(self, threads: int = 0) -> int:
        """Reads all of the matrix's memory as fast as can be, and returns its size in bytes."""
        return Matrices([self]).read(threads)


class Matrices:
    """Some matrices of one shape, used one after the other without Python between them."""

    def __init__(self, matrices: Sequence[Matrix]) -> None:
        """CodecError for none, and for matrices of different shapes."""
        shapes = sorted({matrix.shape for matrix in matrices})
        if len(shapes) != 1:
            raise CodecError(f"matrices: got {len(matrices)} of shapes {shapes}, expected some of one shape")
        self.shape = shapes[0]
        self._matrices = list(matrices)  # keeps them
        self._handles = (ctypes.c_void_p * len(matrices))(*[matrix._handle for matrix in matrices])

    def multiply(self, x: Floats, threads: int = 0, out: Floats | None = None) -> Floats:
        """x [m, inputs] times the transpose of each: [matrices, m, outputs], as Matrix.multiply() gives them."""
        _check_activations(x, self.shape[1])
        y = _output(out, (len(self._handles), len(x), self.shape[0]))
        multiply = native.library().lpc_matrix_multiply_each
        pointers = x.ctypes.data, x.size, y.ctypes.data, y.size
        native.check(multiply(self._handles, len(self._handles), 1, len(x), *pointers, threads))
        return y

    def read(self, threads: int = 0) -> int:
        """Reads all of their memory as fast as can be, and returns its size in bytes."""
        size = ctypes.c_uint64()
        read = native.library().lpc_matrix_read_each
        native.check(read(self._handles, len(self._handles), threads, ctypes.byref(size)))
        return size.value


def _check_activations(x: Floats, inputs: int) -> None:
    if x.dtype != np.float32 or x.ndim != 2 or x.shape[1] != inputs or not x.flags.c_contiguous:
        raise CodecError(f"x: got {x.dtype} of shape {x.shape}, expected dense float32 of shape (m, {inputs})")


def _output(out: Floats | None, shape: tuple[int, ...]) -> Floats:
    y = np.empty(shape, np.float32) if out is None else out
    if y.dtype != np.float32 or y.shape != shape or not y.flags.c_contiguous:
        raise CodecError(f"out: got {y.dtype} of shape {y.shape}, expected dense float32 {shape}")
    return y
