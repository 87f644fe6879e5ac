"""NaN weights are kept bit for bit, with a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkpoints import CONFIG, NUMPY, load, random_tensors, write_llama, write_safetensors

from edge_runtime import codec
from exporters import dtypes
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
def test_has_nan_tells_nan_from_infinity(dtype: str) -> None:
    values = np.array([0.0, -0.0, np.inf, -np.inf, 1.0, -1e-7]).astype(NUMPY[dtype])
    assert not dtypes.has_nan(values)
    for bits in NANS[dtype]:
        changed = values.copy()
        changed.view(f"u{values.itemsize}")[3] = bits
        assert dtypes.has_nan(changed)


@pytest.mark.parametrize("bits", [0x7FC00001, 0xFF800001, 0x00000001, 0x80000000, 0x33800001])
def test_narrow_keeps_what_would_lose_a_bit(bits: int) -> None:
    values = np.array([1.0, 2.0, 0.5], np.float32)
    assert dtypes.narrow(values, lambda: None).dtype == NUMPY["BF16"]
    values.view(np.uint32)[1] = bits
    narrowed = dtypes.narrow(values, lambda: None)
    assert np.array_equal(narrowed.astype(np.float32).view(np.uint32), values.view(np.uint32))
