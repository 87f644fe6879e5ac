"""`auto` takes the codec that serves what is scarce, by measured size, and says why."""

from __future__ import annotations

import codec_arrays
import numpy as np
import pytest

from edge_runtime import codec
from exporters.codec_choice import Encoder
from exporters.graph import Weight

DENSE = codec_arrays.normal("bf16", (256, 1024))
SPARSE = DENSE.copy()
SPARSE[np.random.default_rng(4).random(DENSE.shape) < 0.5] = 0
NOISE = codec_arrays.random_bits("bf16", (256, 1024))


def encoded(name: str, array: codec_arrays.Array) -> tuple[str, str]:
    """Codec and reason; the blob is checked."""
    result = Encoder(name, 1).encode(array, Weight("w", array.shape, 0, False))
    assert codec.describe(result.blob).codec == result.codec
    codec_arrays.assert_same(codec.decode(result.blob), array)
    return result.codec, result.reason


@pytest.mark.parametrize(
    ("objective", "dense", "sparse"),
    [("size", "ans", "bitmap"), ("bus", "lz4", "bitmap"), ("compute", "packed", "packed")],
)
def test_auto_takes_what_serves_the_objective(objective: str, dense: str, sparse: str) -> None:
    assert encoded(f"auto:{objective}", DENSE)[0] == dense
    assert encoded(f"auto:{objective}", SPARSE)[0] == sparse


def test_auto_without_objective_is_for_the_bus() -> None:
    assert encoded("auto", DENSE) == encoded("auto:bus", DENSE)


def test_auto_says_what_else_it_measured() -> None:
    _, reason = encoded("auto:size", DENSE)
    assert reason.startswith("ans saves 34.")
    assert "lz4 29." in reason
    assert "packed 3" in reason


@pytest.mark.parametrize("objective", ["size", "bus", "compute"])
def test_auto_noise_is_stored_with_a_reason(objective: str) -> None:
    name, reason = encoded(f"auto:{objective}", NOISE)
    assert name == "stored"
    assert "would save" in reason


def test_encoder_keeps_no_blob_of_another_tensor() -> None:
    encoder = Encoder("auto:size", 1)
    for array in (DENSE, SPARSE, NOISE, DENSE):
        codec_arrays.assert_same(codec.decode(encoder.encode(array, Weight("w", array.shape, 0, False)).blob), array)
