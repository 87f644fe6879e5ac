"""How much `lz4` saves on weights; a change that loses size must be seen."""

from __future__ import annotations

import codec_arrays
import numpy as np
from checkpoints import shared_folder

from edge_runtime import codec


def saved_percent(array: codec_arrays.Array) -> float:
    return 100 * (1 - codec.encode(array).nbytes / array.nbytes)


def test_lz4_normal_bf16_weights_save_29_percent() -> None:
    saved = saved_percent(codec_arrays.normal("bf16", (4096, 4096)))
    print(f"lz4 saves {saved:.2f} % of normal(0, 0.02) BF16 4096 x 4096")
    assert saved >= 29


def test_lz4_trained_bf16_weights_save_29_percent() -> None:
    path = shared_folder("models", "samples") / "rwkv_eng_8M.bf16"
    saved = saved_percent(np.fromfile(path, codec.numpy_dtype("bf16")))
    print(f"lz4 saves {saved:.2f} % of {path.name}")
    assert saved >= 29


def test_lz4_zeros_take_only_raw_arrays() -> None:
    assert saved_percent(np.zeros((512, 1024), codec.numpy_dtype("bf16"))) > 49.9
    assert saved_percent(np.zeros((512, 1024), np.int8)) > 99.8


def test_lz4_outliers_cost_little() -> None:
    array = codec_arrays.normal("bf16", (1024, 512))
    with_outliers = array.copy()
    with_outliers.reshape(-1)[::1001] *= 300
    assert saved_percent(with_outliers) > saved_percent(array) - 1.5
