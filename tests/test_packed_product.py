"""Products with packed weights: bit for bit those with decoded weights, and close to float64."""

from __future__ import annotations

import codec_arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_models import RunPython
from test_packed_codec import LAYOUTS, weights

from edge_runtime import codec, native
from edge_runtime.bench.matrix import Floats, Matrices, Matrix
from edge_runtime.errors import CodecError

# A sum of k products in float32, in at most 64 partial sums of ceil(k / 64) or more products each, has an error below
# (k / 4 + 16) * 2^-24 times the sum of the products' magnitudes (Higham, Accuracy and Stability, 3.1); the matrix as
# columns adds k products one after another.
EPSILON = 2.0**-24


def activations(m: int, inputs: int, seed: int = 1) -> Floats:
    return np.asarray(np.random.default_rng(seed).standard_normal((m, inputs), np.float32))


def assert_products_agree(array: codec_arrays.Array, layout: str, m: int, transposed: bool, seed: int) -> None:
    packed = Matrix(codec.encode(array, f"packed:{layout}", segment_bytes=100_000), "packed")
    decoded = Matrix(codec.encode(array, "stored"))
    inputs = array.shape[1] if transposed else array.shape[0]
    x = activations(m, inputs, seed)
    y = packed.multiply(x, transposed, threads=2)
    assert y.tobytes() == decoded.multiply(x, transposed, threads=1).tobytes()
    w = array.astype(np.float64).T if transposed else array.astype(np.float64)
    error = np.abs(y - x.astype(np.float64) @ w)
    assert (error <= EPSILON * (inputs + 16) * (np.abs(x) @ np.abs(w)) + 1e-37).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("m", [1, 2, 3, 8, 16, 17, 33])
def test_product_of_a_packed_matrix_equals_that_of_the_decoded_one(layout: str, m: int) -> None:
    assert_products_agree(codec_arrays.normal("bf16", (300, 1100)), layout, m, transposed=True, seed=m)
    assert_products_agree(codec_arrays.normal("bf16", (300, 1100)), layout, m, transposed=False, seed=m)


def usual(rows: int, columns: int, seed: int) -> codec_arrays.Array:
    """Weights some of which need escapes, none of them infinite."""
    array = weights(rows, columns, 0.01, seed)
    array.view(np.uint16)[...] &= 0xBFFF
    return array


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 200),
    columns=st.integers(1, 1500) | st.integers(2000, 4200) | st.integers(6145, 9000),
    m=st.integers(1, 40),
    layout=st.sampled_from(LAYOUTS),
    transposed=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_product_property_packed_equals_decoded_and_is_near_float64(
    rows: int, columns: int, m: int, layout: str, transposed: bool, seed: int
) -> None:
    assert_products_agree(usual(rows, columns, seed), layout, m, transposed, seed)


def test_product_does_not_depend_on_the_number_of_threads() -> None:
    matrix = Matrix(codec.encode(codec_arrays.normal("bf16", (900, 700)), "packed"), "packed")
    x = activations(1, 700)
    assert len({matrix.multiply(x, threads=threads).tobytes() for threads in (1, 2, 3, 7)}) == 1


def test_product_of_segments_that_stayed_raw_equals_that_of_the_decoded_matrix() -> None:
    array = codec_arrays.normal("bf16", (64, 512))
    array[16:32] = codec_arrays.random_bits("bf16", (16, 512))
    array.view(np.uint16)[...] &= 0xBFFF
    blob = codec.encode(array, "packed:hi4p", segment_bytes=16 * 1024)
    assert codec.describe(blob).raw_segment_count == 1
    x = activations(1, 512)
    assert Matrix(blob, "packed").multiply(x).tobytes() == Matrix(blob).multiply(x).tobytes()


def test_matrix_decodes_to_the_tensor_from_either_form() -> None:
    array = weights(100, 1000)
    blob = codec.encode(array, "packed")
    for form in ("packed", "decoded"):
        codec_arrays.assert_same(Matrix(blob, form).decode(threads=2), array)


def test_matrix_read_reads_the_bytes_that_it_holds() -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (512, 1024)), "packed:e3+3")
    assert Matrix(blob).read() == 2 * 512 * 1024
    assert 11 * 512 * 128 <= Matrix(blob, "packed").read() <= len(blob)


def test_products_of_several_matrices_are_those_of_each() -> None:
    arrays = [weights(96, 320, seed=seed) for seed in (1, 2, 3)]
    matrices = [Matrix(codec.encode(array, "packed:hi3"), "packed") for array in arrays]
    x = activations(2, 320)
    expected = np.stack([matrix.multiply(x) for matrix in matrices])
    assert Matrices(matrices).multiply(x).tobytes() == expected.tobytes()
    assert Matrices(matrices).read() == sum(matrix.read() for matrix in matrices)


def test_matrices_of_different_shapes_or_none_are_an_error() -> None:
    matrices = [Matrix(codec.encode(np.zeros((4, columns), np.float32), "stored")) for columns in (8, 16)]
    with pytest.raises(CodecError, match=r"got 2 of shapes \[\(4, 8\), \(4, 16\)\], expected some of one shape"):
        Matrices(matrices)
    with pytest.raises(CodecError, match="got 0 of shapes"):
        Matrices([])
    with pytest.raises(CodecError, match=r"out: .* expected dense float32 \(1, 2, 4\)"):
        Matrices(matrices[:1]).multiply(np.zeros((2, 8), np.float32), out=np.zeros((2, 4), np.float32))


def test_matrix_of_another_codec_cannot_stay_packed() -> None:
    with pytest.raises(CodecError, match="expected codec packed, or bitmap with plain values, and dtype bf16"):
        Matrix(codec.encode(codec_arrays.normal("bf16", (8, 64)), "lz4"), "packed")
    with pytest.raises(CodecError, match="form: got 'folded'"):
        Matrix(codec.encode(codec_arrays.normal("bf16", (8, 64)), "lz4"), "folded")


def test_matrix_product_of_another_shape_is_an_error() -> None:
    matrix = Matrix(codec.encode(codec_arrays.normal("bf16", (8, 64)), "lz4"))
    with pytest.raises(CodecError, match=r"x: got float32 of shape \(1, 8\), expected .* \(m, 64\)"):
        matrix.multiply(activations(1, 8))


# Prints the implementation and a hash over packed blobs, what they decode to, and whether products agree.
DIGEST = """
import hashlib, sys
sys.path.insert(0, "tests")
import numpy as np
from edge_runtime import codec, native
from test_packed_codec import COLUMNS, LAYOUTS
from test_packed_product import activations, usual
from edge_runtime.bench.matrix import Matrix

digest = hashlib.sha256()
for layout in LAYOUTS:
    for columns in COLUMNS:
        array = usual(6, columns, columns)
        blob = codec.encode(array, f"packed:{layout}")
        decoded = codec.decode(blob)
        assert decoded.tobytes() == array.tobytes()
        digest.update(blob)
        x = activations(3, columns)
        for rows in (x, x[:1]):
            assert Matrix(blob, "packed").multiply(rows).tobytes() == Matrix(blob).multiply(rows).tobytes()
print(native.implementation(), digest.hexdigest())
"""


def test_packed_under_every_implementation_gives_the_same_bytes_and_agreeing_products(run_python: RunPython) -> None:
    digests = set()
    for name in native.implementations():
        done = run_python(DIGEST, env={"LPC_FORCE_IMPL": name})
        assert done.returncode == 0, done.stderr
        implementation, value = done.stdout.split()
        assert implementation == name
        digests.add(value)
    assert len(digests) == 1
