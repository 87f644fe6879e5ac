"""NaN and Inf among the weights are kept bit for bit, with a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkpoints import CONFIG, NUMPY, load, random_tensors, write_llama, write_safetensors
from onnx_models import FLOAT, make, node, weight

from edge_runtime import codec
from exporters.checkpoints import dtypes
from exporters.export import export

NANS = {"BF16": (0x7FC1, 0xFFC5), "F16": (0x7E01, 0xFE07), "F32": (0x7FC00001, 0xFFC12345)}


@pytest.mark.parametrize("dtype", NANS)
@pytest.mark.parametrize("sign", [0, 1])
def test_nan_weight_is_kept_with_a_warning(tmp_path: Path, dtype: str, sign: int) -> None:
    model = write_llama(tmp_path / "model", dtype=dtype)
    tensors = random_tensors(CONFIG, dtype)
    name = "model.layers.1.mlp.up_proj.weight"
    bits = np.dtype(f"u{NUMPY[dtype].itemsize}")
    tensors[name].view(bits)[5, 7] = NANS[dtype][sign]
    write_safetensors(model / "model.safetensors", tensors)
    result = export(model, tmp_path / "out")
    assert [warning for warning in result.warnings if name in warning and "NaN" in warning]
    manifest, _, data = load(tmp_path / "out")
    entry = next(tensor for tensor in manifest["tensors"] if tensor["name"] == name)
    stored = codec.decode(data[entry["offset"] : entry["offset"] + entry["bytes"]])
    assert np.array_equal(stored.view(bits), tensors[name].view(bits))


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_not_finite_tells_nan_from_infinity(dtype: str, value: float) -> None:
    values = np.array([0.0, -0.0, 3e4, -3e4, 1.0, -1e-7]).astype(NUMPY[dtype])
    assert dtypes.not_finite(values) == ""
    infinite = values.copy()
    infinite[5] = value
    assert dtypes.not_finite(infinite) == "Inf"
    for bits in NANS[dtype]:
        for array, expected in ((values.copy(), "NaN"), (infinite.copy(), "NaN and Inf")):
            array.view(f"u{values.itemsize}")[3] = bits
            assert dtypes.not_finite(array) == expected


def test_inf_and_nan_are_one_warning_that_names_tensors_and_kinds(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    tensors = random_tensors(CONFIG)
    tensors["model.layers.1.mlp.up_proj.weight"][5, 7] = np.inf
    tensors["model.norm.weight"][3] = -np.inf
    tensors["model.layers.0.input_layernorm.weight"][0] = np.nan
    write_safetensors(model / "model.safetensors", tensors)
    (warning,) = export(model, tmp_path / "out").warnings
    assert warning.startswith("NaN and Inf in ")
    for named in ("up_proj.weight (Inf)", "model.norm.weight (Inf)", "layers.0.input_layernorm.weight (NaN)"):
        assert named in warning


def test_inf_in_an_onnx_vector_is_told_and_in_a_mask_is_not(tmp_path: Path) -> None:
    scale, mask = weight((96,)), np.where(np.tri(4, 96) > 0, 0, -np.inf).astype(np.float32)
    scale[3] = np.inf
    nodes = [node("MatMul", ["x", "w"], "p"), node("Mul", ["p", "scale"], "s"), node("Add", ["s", "mask"], "y")]
    weights = {"w": weight((64, 96)), "scale": scale, "mask": mask}
    path = make(tmp_path / "in" / "m.onnx", nodes, weights, {"y": [4, 96]}, {"x": (FLOAT, [4, 64])})
    warnings = [line for line in export(path, tmp_path / "out").warnings if "Inf" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("Inf in scale (Inf): kept as it is")


@pytest.mark.parametrize("bits", [0x7FC00001, 0xFF800001, 0x00000001, 0x80000000, 0x33800001])
def test_narrow_keeps_what_would_lose_a_bit(bits: int) -> None:
    values = np.array([1.0, 2.0, 0.5], np.float32)
    assert dtypes.narrow(values, lambda: None).dtype == NUMPY["BF16"]
    values.view(np.uint32)[1] = bits
    narrowed = dtypes.narrow(values, lambda: None)
    assert np.array_equal(narrowed.astype(np.float32).view(np.uint32), values.view(np.uint32))
