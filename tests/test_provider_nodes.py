"""The provider's nodes against numpy and against the fallback op: every form of product and gather that it claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import Session, SmallModel, open_session, random_weight

# float32 sums of at most 700 products in another order.
RELATIVE_TOLERANCE = 2e-6


def assert_close(got: NDArray[Any], expected: NDArray[Any]) -> None:
    assert got.shape == expected.shape
    scale = float(np.abs(expected).max()) or 1.0
    np.testing.assert_allclose(got, expected, rtol=0, atol=RELATIVE_TOLERANCE * 32 * scale)


def activations(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def both_sessions(model: Path) -> list[Session]:
    return [open_session(model), open_session(model, use_provider=False)]


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32", "int8"])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("m", [1, 2, 7])
@pytest.mark.parametrize(("k", "n"), [(64, 64), (1, 1), (67, 130), (700, 33)])
def test_matmul_any_shape_equals_numpy(tmp_path: Path, dtype: str, transpose: bool, m: int, k: int, n: int) -> None:
    weight = random_weight((n, k) if transpose else (k, n), dtype)
    model = SmallModel(tmp_path)
    model.node("MatMul", ["x", model.weight("w", weight, token="x", transpose=transpose)], "y")
    path = model.save({"x": [1, "m", k]}, {"y": [1, "m", n]})
    x = activations(1, m, k)
    wide = weight.astype(np.float64)
    expected = x.astype(np.float64) @ (wide.T if transpose else wide)
    for session in both_sessions(path):
        assert_close(session.run(x=x)[0], expected)


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("c_shape", [None, (), (1,), (5,), (1, 5), (3, 1), (3, 5)])
def test_gemm_any_bias_equals_numpy(tmp_path: Path, trans_b: int, transpose: bool, c_shape: Any) -> None:
    m, k, n = 3, 40, 5
    stored_as_outputs_by_inputs = transpose != bool(trans_b)
    weight = random_weight((n, k) if stored_as_outputs_by_inputs else (k, n), "bf16")
    model = SmallModel(tmp_path)
    inputs = ["x", model.weight("w", weight, token="x", transpose=transpose)]
    feeds: dict[str, Any] = {"x": activations(m, k)}
    shapes: dict[str, list[Any]] = {"x": [m, k]}
    wide = weight.astype(np.float64)
    expected = 0.5 * (feeds["x"] @ (wide.T if stored_as_outputs_by_inputs else wide))
    if c_shape is not None:
        inputs.append("c")
        feeds["c"] = activations(*c_shape, seed=2)
        shapes["c"] = list(c_shape)
        expected = expected + 2.0 * feeds["c"]
    model.node("Gemm", inputs, "y", alpha=0.5, beta=2.0, transB=trans_b)
    session = open_session(model.save(shapes, {"y": [m, n]}))
    assert_close(session.run(**feeds)[0], expected)
    assert (session.stats.nodes_claimed, session.stats.nodes_unclaimed) == (1, 0)


def test_matmul_add_fused_to_gemm_is_claimed(tmp_path: Path) -> None:
    weight = random_weight((16, 8), "bf16")
    model = SmallModel(tmp_path)
    product = model.node("MatMul", ["x", model.weight("w", weight, token="x", transpose=True)], "p")
    model.node("Add", [product, "residual"], "y")
    session = open_session(model.save({"x": [4, 8], "residual": [4, 16]}, {"y": [4, 16]}))
    x, residual = activations(4, 8), activations(4, 16, seed=2)
    assert_close(session.run(x=x, residual=residual)[0], x @ weight.astype(np.float32).T + residual)
    assert session.stats.nodes_claimed == 1


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32", "int8"])
def test_gather_any_rows_are_exact(tmp_path: Path, dtype: str) -> None:
    table = random_weight((100, 37), dtype)
    model = SmallModel(tmp_path)
    model.node("Gather", [model.weight("t", table, segment_bytes=256), "i"], "y")
    path = model.save({"i": ["a", "b"]}, {"y": ["a", "b", 37]}, int_inputs=("i",))
    indices = np.array([[0, 99, -1], [-100, 50, 0]], dtype=np.int64)
    for session in both_sessions(path):
        assert session.run(i=indices)[0].tobytes() == table.astype(np.float32)[indices].tobytes()


def test_gather_one_row_reads_one_segment(tmp_path: Path) -> None:
    table = random_weight((4096, 64), "bf16")
    model = SmallModel(tmp_path)
    model.node("Gather", [model.weight("t", table, segment_bytes=4096), "i"], "y")
    session = open_session(model.save({"i": [1]}, {"y": [1, 64]}, int_inputs=("i",)))
    session.run(i=np.array([1234]))
    assert session.stats.rows_fetched == 1
    assert session.stats.bytes_decoded == 4096
    assert session.stats.bytes_read < 4096


@pytest.mark.parametrize("index", [100, -101, 2**40])
def test_gather_index_out_of_range_is_an_error(tmp_path: Path, index: int) -> None:
    model = SmallModel(tmp_path)
    model.node("Gather", [model.weight("t", random_weight((100, 8), "bf16")), "i"], "y")
    session = open_session(model.save({"i": [1]}, {"y": [1, 8]}, int_inputs=("i",)))
    with pytest.raises(Exception, match=rf"tensor t: index {index} at position 0, expected -100 to 99"):
        session.run(i=np.array([index]))
    np.testing.assert_equal(session.run(i=np.array([3]))[0].shape, (1, 8))  # the session is still good


def test_tied_weight_serves_gather_and_product(tmp_path: Path) -> None:
    table = random_weight((50, 16), "bf16")
    model = SmallModel(tmp_path)
    hidden = model.node("Gather", [model.weight("t", table), "i"], "h")
    model.node("MatMul", [hidden, model.weight("t2", table, token=hidden, layer=1, transpose=True)], "y")
    second = model.nodes[-2]
    second.input[0] = "t.blob"
    del model.initializers[1]
    session = open_session(model.save({"i": [1, "s"]}, {"y": [1, "s", 50]}, int_inputs=("i",)))
    wide = table.astype(np.float32)
    assert_close(session.run(i=np.array([[3, 4]]))[0], (wide[[3, 4]] @ wide.T)[None])
    assert (session.stats.nodes_claimed, session.stats.nodes_unclaimed) == (2, 0)


def test_claim_weight_it_cannot_take_is_left_and_counted(tmp_path: Path) -> None:
    model = SmallModel(tmp_path)
    used_twice = model.weight("w", random_weight((8, 8), "bf16"), token="x")
    model.node("MatMul", ["x", used_twice], "a")
    model.node("MatMul", ["a", used_twice], "b")
    inline = model.weight("v", random_weight((8, 8), "bf16", seed=2), token="b", external=False)
    model.node("MatMul", ["b", inline], "c")
    model.node("MatMul", ["c", model.weight("u", random_weight((8, 8), "bf16", seed=3), token="c")], "y")
    path = model.save({"x": [2, 8]}, {"y": [2, 8]})
    session, fallback = both_sessions(path)
    x = activations(2, 8)
    assert_close(session.run(x=x)[0], fallback.run(x=x)[0])
    assert (session.stats.nodes_claimed, session.stats.nodes_unclaimed) == (1, 2)
