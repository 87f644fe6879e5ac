"""`auto` takes the codec that serves what is scarce, by measured size, and says why."""

from __future__ import annotations

import codec_arrays
import numpy as np
import pytest

from edge_runtime import codec, native
from edge_runtime.facts import packed_layouts
from exporters.graphs.builder import Weight
from exporters.package.codec_choice import THIS_MACHINE, Encoder, packed_layout

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
    [("size", "ans", "bitmap"), ("bus", "lz4", "bitmap"), ("compute", "packed", "bitmap")],
)
def test_auto_takes_what_serves_the_objective(objective: str, dense: str, sparse: str) -> None:
    assert encoded(f"auto:{objective}", DENSE)[0] == dense
    assert encoded(f"auto:{objective}", SPARSE)[0] == sparse


def test_auto_without_objective_is_for_the_bus() -> None:
    assert encoded("auto", DENSE) == encoded("auto:bus", DENSE)


def test_auto_says_what_else_it_measured() -> None:
    _, reason = encoded("auto:size", DENSE)
    assert reason.startswith("ans saves 33.9")
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


@pytest.mark.parametrize("board", ["raspberry-pi-5", "intel-n100"])
def test_packed_layout_of_a_board_without_byte_expansion_is_hi4p(board: str) -> None:
    assert packed_layout(board) == "hi4p"


def test_packed_layout_of_this_machine_follows_its_implementation() -> None:
    assert packed_layout(THIS_MACHINE) == ("hi3" if native.implementation() == "avx512_vbmi2" else "hi4p")


@pytest.mark.parametrize("layout", list(packed_layouts()))
@pytest.mark.parametrize("name", ["packed", "auto:compute"])
def test_encoder_with_a_layout_uses_it(name: str, layout: str) -> None:
    assert encoded(f"{name}:{layout}", DENSE)[0] == "packed"
    blob = Encoder(f"{name}:{layout}", 1).encode(DENSE, Weight("w", DENSE.shape, 0, False)).blob
    assert bytes(blob) == bytes(codec.encode(DENSE, f"packed:{layout}"))
