"""Products and look-ups of INT8 weights with scales: the provider against numpy and against plain onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from small_models import SmallModel, open_session

from edge_runtime import codec
from edge_runtime.bench.matrix import Matrix
from edge_runtime.errors import CodecError

ROWS, COLUMNS = 70, 200
GROUP = 48  # does not divide the columns: the last group is shorter
# Sums of `columns` products in float32 against float64 (Higham, Accuracy and Stability, 3.1), and the scale's rounding.
EPSILON = 2.0**-24


def weights(rows: int = ROWS, columns: int = COLUMNS, seed: int = 0) -> NDArray[np.int8]:
    array = np.random.default_rng(seed).integers(-127, 128, (rows, columns), np.int8)
    array[0, 0] = -128
    return array


def scales_for(granularity: str, rows: int, columns: int) -> NDArray[np.float32]:
    """[1], [rows] or [rows, groups]."""
    shape = {"tensor": (1,), "row": (rows,), "group": (rows, -(-columns // GROUP))}[granularity]
    return np.random.default_rng(7).uniform(0.001, 0.003, shape).astype(np.float32)


def widened(array: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float64]:
    rows, columns = array.shape
    if scales.ndim == 2:
        full = np.repeat(scales, GROUP, axis=1)[:, :columns]
    else:
        full = np.broadcast_to(scales.reshape(-1, 1), (rows, columns))
    return array.astype(np.float64) * full


def dequantized(
    model: SmallModel, array: NDArray[np.int8], scales: NDArray[np.float32], transpose: bool, **options: Any
) -> str:
    """Add Decompress and DequantizeLinear as the exporter writes them; returns the weight's value."""
    weight = model.weight("w", array, transpose=transpose, to="int8", **options)
    attributes: dict[str, int] = {}
    if scales.ndim == 2:
        attributes = {"axis": 0 if transpose else 1, "block_size": GROUP}
        scales = np.ascontiguousarray(scales.T) if transpose else scales
    elif scales.size > 1:
        attributes = {"axis": 1 if transpose else 0}
    else:
        scales = scales.reshape(())
    model.initializers.append(numpy_helper.from_array(scales, "w.scale"))
    return model.node("DequantizeLinear", [weight, "w.scale"], "w.float", **attributes)


def product(folder: Path, granularity: str, shape: tuple[int, int], **options: Any) -> tuple[Path, NDArray[np.float64]]:
    folder.mkdir(exist_ok=True)
    model, array = SmallModel(folder, opset=21), weights(*shape)
    scales = scales_for(granularity, *shape)
    model.node("MatMul", ["x", dequantized(model, array, scales, True, token="x", **options)], "y")
    return model.save({"x": [1, "m", shape[1]]}, {"y": [1, "m", shape[0]]}), widened(array, scales)


@pytest.mark.parametrize("granularity", ["tensor", "row", "group"])
@pytest.mark.parametrize("m", [1, 2, 5])
@pytest.mark.parametrize("shape", [(70, 200), (1, 1), (3, 16), (130, 1023)])
def test_int8_product_equals_numpy_and_the_fallback(
    tmp_path: Path, granularity: str, m: int, shape: tuple[int, int]
) -> None:
    path, wide = product(tmp_path, granularity, shape)
    x = np.random.default_rng(1).standard_normal((1, m, shape[1]), np.float32)
    ours, fallback = open_session(path), open_session(path, use_provider=False)
    bound = EPSILON * (shape[1] + 16) * (np.abs(x[0]).astype(np.float64) @ np.abs(wide).T)
    for session in (ours, fallback):
        assert (np.abs(session.run(x=x)[0][0] - x[0].astype(np.float64) @ wide.T) <= bound).all()
    assert (ours.stats.nodes_claimed, ours.stats.nodes_unclaimed) == (1, 0)


@pytest.mark.parametrize("granularity", ["tensor", "row", "group"])
def test_int8_product_is_the_same_bits_whatever_the_storage(tmp_path: Path, granularity: str) -> None:
    results = set()
    x = np.random.default_rng(1).standard_normal((1, 1, 640), np.float32)
    for codec_name in ("stored", "lz4", "ans", "bitmap:stored"):
        path, _ = product(tmp_path / codec_name[:3], granularity, (300, 640), codec_name=codec_name, segment_bytes=9000)
        for state in ("decoded", "resident", "streamed"):
            session = open_session(path, residence=f"0-1:{state}")
            results |= {session.run(x=x)[0].tobytes() for _ in range(2)}
    assert len(results) == 1


@pytest.mark.parametrize("granularity", ["tensor", "row", "group"])
def test_int8_table_gives_the_rows_that_dequantize_linear_gives(tmp_path: Path, granularity: str) -> None:
    model, array = SmallModel(tmp_path, opset=21), weights()
    scales = scales_for(granularity, ROWS, COLUMNS)
    model.node("Gather", [dequantized(model, array, scales, False, segment_bytes=1000), "i"], "y")
    path = model.save({"i": [1, "n"]}, {"y": [1, "n", COLUMNS]}, int_inputs=("i",))
    ours = open_session(path)
    got = ours.run(i=np.array([[0, 3, 69, -1, 3]]))[0]
    assert got.tobytes() == open_session(path, use_provider=False).run(i=np.array([[0, 3, 69, 69, 3]]))[0].tobytes()
    assert ours.stats.nodes_claimed == 1


def test_int8_gemm_with_a_residual_is_claimed(tmp_path: Path) -> None:
    model, array, scales = SmallModel(tmp_path, opset=21), weights(), scales_for("row", ROWS, COLUMNS)
    weight = dequantized(model, array, scales, False)
    model.node("Gemm", ["x", weight, "c"], "y", transB=1, alpha=0.5)
    session = open_session(model.save({"x": [3, COLUMNS], "c": [3, ROWS]}, {"y": [3, ROWS]}))
    x, c = (np.random.default_rng(i).standard_normal((3, n), np.float32) for i, n in enumerate((COLUMNS, ROWS)))
    expected = 0.5 * (x.astype(np.float64) @ widened(array, scales).T) + c
    np.testing.assert_allclose(session.run(x=x, c=c)[0], expected, rtol=0, atol=2e-5)
    assert session.stats.nodes_claimed == 1


def test_int8_product_with_scales_of_its_inputs_is_left_to_the_fallback(tmp_path: Path) -> None:
    model, array, scales = SmallModel(tmp_path, opset=21), weights(), scales_for("row", ROWS, COLUMNS)
    model.node("MatMul", ["x", dequantized(model, array, scales, False)], "y")
    session = open_session(model.save({"x": [3, ROWS]}, {"y": [3, COLUMNS]}))
    x = np.random.default_rng(1).standard_normal((3, ROWS), np.float32)
    np.testing.assert_allclose(session.run(x=x)[0], x @ widened(array, scales), rtol=0, atol=2e-5)
    assert session.stats.nodes_unclaimed == 1


def test_int8_graph_on_a_blob_of_another_dtype_is_an_error(tmp_path: Path) -> None:
    import ml_dtypes

    model = SmallModel(tmp_path, opset=21)
    array = np.ones((8, 16), ml_dtypes.bfloat16)
    model.node("MatMul", ["x", dequantized(model, array, np.ones(8, np.float32), True)], "y")
    path = model.save({"x": [1, 16]}, {"y": [1, 8]})
    with pytest.raises(Exception, match="got dtype bf16, expected int8 as the graph says"):
        open_session(path)


@pytest.mark.parametrize("granularity", ["row", "group"])
def test_int8_scales_in_the_weight_file_are_read_from_there(tmp_path: Path, granularity: str) -> None:
    results = []
    for external in (False, True):
        folder = tmp_path / str(external)
        folder.mkdir()
        model, array = SmallModel(folder, opset=21), weights()
        model.node("MatMul", ["x", dequantized(model, array, scales_for(granularity, ROWS, COLUMNS), True)], "y")
        if external:
            scale = model.initializers[-1]
            raw = numpy_helper.to_array(scale).tobytes()
            model.data.extend(bytes(-len(model.data) % 4096))
            scale.ClearField("raw_data")
            scale.data_location = 1
            for key, value in {"location": "model.lpc", "offset": len(model.data), "length": len(raw)}.items():
                scale.external_data.add(key=key, value=str(value))
            model.data.extend(raw)
        session = open_session(model.save({"x": [1, "m", COLUMNS]}, {"y": [1, "m", ROWS]}))
        results.append(session.run(x=np.ones((1, 2, COLUMNS), np.float32))[0].tobytes())
        assert session.stats.nodes_claimed == 1
    assert results[0] == results[1]


@pytest.mark.parametrize("granularity", ["row", "group"])
@pytest.mark.parametrize("m", [1, 5])
def test_matrix_with_scales_multiplies_with_scale_times_weight(granularity: str, m: int) -> None:
    array, scales = weights(), scales_for(granularity, ROWS, COLUMNS)
    matrix = Matrix(codec.encode(array, "ans"))
    matrix.set_scales(scales, GROUP if granularity == "group" else 0)
    x = np.random.default_rng(3).standard_normal((m, COLUMNS), np.float32)
    w = widened(array, scales)
    bound = EPSILON * (COLUMNS + 17) * (np.abs(x.astype(np.float64)) @ np.abs(w).T)
    assert (np.abs(matrix.multiply(x) - x.astype(np.float64) @ w.T) <= bound).all()


def test_matrix_refuses_scales_that_do_not_fit() -> None:
    matrix = Matrix(codec.encode(weights(), "ans"))
    with pytest.raises(CodecError, match="scale_count: got 69, expected 70"):
        matrix.set_scales(np.ones(69, np.float32))
    matrix.set_scales(np.ones(ROWS, np.float32))
    with pytest.raises(CodecError, match="expected 1 for a matrix with scales"):
        matrix.multiply(np.ones((1, ROWS), np.float32), transposed=False)
    with pytest.raises(CodecError, match="got dtype fp32, expected int8"):
        Matrix(codec.encode(np.ones((4, 4), np.float32), "stored")).set_scales(np.ones(4, np.float32))
