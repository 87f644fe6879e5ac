"""Products straight from pruned weights in codec `bitmap`: bit for bit those with decoded weights."""

from __future__ import annotations

import codec_arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_models import RunPython
from test_bitmap_codec import pruned
from test_packed_product import EPSILON, activations

from edge_runtime import codec, native
from edge_runtime.bench.matrix import Matrix
from edge_runtime.errors import CodecError


def assert_products_agree(array: codec_arrays.Array, m: int, transposed: bool, seed: int = 1) -> None:
    direct = Matrix(codec.encode(array, "bitmap:stored", segment_bytes=100_000), "packed")
    decoded = Matrix(codec.encode(array, "stored"))
    inputs = array.shape[1] if transposed else array.shape[0]
    x = activations(m, inputs, seed)
    y = direct.multiply(x, transposed, threads=2)
    assert y.tobytes() == decoded.multiply(x, transposed, threads=1).tobytes()
    w = array.astype(np.float64).T if transposed else array.astype(np.float64)
    error = np.abs(y - x.astype(np.float64) @ w)
    assert (error <= EPSILON * (inputs + 16) * (np.abs(x) @ np.abs(w)) + 1e-37).all()


@pytest.mark.parametrize("m", [1, 2, 3, 17])
@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.9])
def test_product_of_a_pruned_matrix_equals_that_of_the_decoded_one(m: int, sparsity: float) -> None:
    for transposed in (True, False):
        assert_products_agree(pruned("bf16", (300, 1100), sparsity), m, transposed)


def test_product_of_a_pruned_matrix_that_is_larger_than_a_panel_equals_that_of_the_decoded_one() -> None:
    assert_products_agree(pruned("bf16", (1500, 2000), 0.7), 3, transposed=True)
    assert_products_agree(pruned("bf16", (1500, 2000), 0.7), 2, transposed=False)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 100), columns=st.integers(1, 700), m=st.integers(1, 9), transposed=st.booleans(),
    sparsity=st.floats(0.2, 1.0), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_product_property_pruned_equals_decoded_and_is_near_float64(
    rows: int, columns: int, m: int, transposed: bool, sparsity: float, seed: int
) -> None:
    assert_products_agree(pruned("bf16", (rows, columns), sparsity), m, transposed, seed)


def test_product_of_raw_segments_among_pruned_ones_equals_that_of_the_decoded_matrix() -> None:
    array = pruned("bf16", (64, 512), 0.5)
    array[16:32] = codec_arrays.normal("bf16", (16, 512))
    blob = codec.encode(array, "bitmap:stored", segment_bytes=16 * 1024)
    assert codec.describe(blob).raw_segment_count == 1
    x = activations(1, 512)
    assert Matrix(blob, "packed").multiply(x).tobytes() == Matrix(blob).multiply(x).tobytes()


def test_pruned_matrix_decodes_from_its_stored_form() -> None:
    array = pruned("bf16", (300, 1000), 0.5)
    matrix = Matrix(codec.encode(array, "bitmap:stored", segment_bytes=50_000), "packed")
    codec_arrays.assert_same(matrix.decode(threads=2), array)


def test_pruned_matrix_whose_values_are_coded_cannot_stay_stored() -> None:
    with pytest.raises(CodecError, match="bitmap with plain values"):
        Matrix(codec.encode(pruned("bf16", (64, 512), 0.5), "bitmap"), "packed")


AGREES = """
import sys
sys.path.insert(0, "tests")
from test_bitmap_product import assert_products_agree
from test_bitmap_codec import pruned
from edge_runtime import native
for columns in (*range(1, 140, 9), 320, 449, 1025):
    for m in (1, 2):
        assert_products_agree(pruned("bf16", (13, columns), 0.6), m, True)
print(native.implementation())
"""


def test_pruned_products_agree_under_every_implementation(run_python: RunPython) -> None:
    for name in native.implementations():
        done = run_python(AGREES, env={"LPC_FORCE_IMPL": name})
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == name
