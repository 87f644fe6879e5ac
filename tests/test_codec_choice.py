"""`auto` takes the codec that serves what is scarce, by measured size, and says why."""

from __future__ import annotations

from pathlib import Path

import codec_arrays
import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime import codec, facts, native
from edge_runtime.errors import ConfigError
from edge_runtime.facts import packed_layouts
from exporters.commands.export import command
from exporters.graphs.interface import Weight
from exporters.package.codec_choice import THIS_MACHINE, CodecChoice, packed_layout
from exporters.package.encoder import Encoder

DENSE = codec_arrays.normal("bf16", (256, 1024))
SPARSE = DENSE.copy()
SPARSE[np.random.default_rng(4).random(DENSE.shape) < 0.5] = 0
NOISE = codec_arrays.random_bits("bf16", (256, 1024))


def encoded(name: str, array: codec_arrays.Array) -> tuple[str, str]:
    """Codec and reason; the blob is checked."""
    result = Encoder(CodecChoice.parse(name), 1).encode(array, Weight("w", array.shape, 0, False))
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
    encoder = Encoder(CodecChoice(objective="size"), 1)
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
    blob = Encoder(CodecChoice.parse(f"{name}:{layout}"), 1).encode(DENSE, Weight("w", DENSE.shape, 0, False)).blob
    assert bytes(blob) == bytes(codec.encode(DENSE, f"packed:{layout}"))


@pytest.mark.parametrize(("text", "choice", "candidates"), [
    ("auto", CodecChoice(), ("lz4", "bitmap:stored")),
    ("auto:size", CodecChoice("auto", "size"), ("lz4", "ans", "packed", "bitmap")),
    ("auto:bus:hi3@0.5", CodecChoice("auto", "bus", "hi3", 0.5), ("lz4", "bitmap:stored")),
    ("auto:compute:hi4p", CodecChoice("auto", "compute", "hi4p"), ("packed:hi4p", "bitmap:stored")),
    ("packed:e2+3@0.25", CodecChoice("packed", layout="e2+3", fraction=0.25), ("packed:e2+3",)),
    ("bitmap:stored", CodecChoice("bitmap", layout="stored"), ("bitmap:stored",)),
    ("lz4@1", CodecChoice("lz4", fraction=1.0), ("lz4",)),
    ("stored", CodecChoice("stored"), ("stored",)),
])  # fmt: skip
def test_choice_is_read_from_its_text_and_gives_it_back(
    text: str, choice: CodecChoice, candidates: tuple[str, ...]
) -> None:
    assert CodecChoice.parse(text) == choice
    assert choice.candidates == candidates
    assert CodecChoice.parse(str(choice)) == choice
    assert str(choice) in (text, f"{text}:bus", f"{text}.0")


@pytest.mark.parametrize(("text", "message"), [
    ("", "the codec is ''; expected one of auto, stored, lz4, ans, packed, bitmap"),
    ("zstd", "the codec is 'zstd'; expected one of auto, stored"),
    ("auto:speed", "the objective of auto is 'speed'; expected one of size, bus, compute"),
    ("auto:bus:hi9", "the layout of auto is 'hi9'; expected one of e2[+]3, hi4p, hi3"),
    ("packed:stored", "the layout of packed is 'stored'; expected one of e2[+]3"),
    ("bitmap:hi3", "the layout of bitmap is 'hi3'; expected one of stored, ans"),
    ("lz4:bus", "the layout of lz4 is 'bus'; expected none"),
    ("packed:hi3:bus", "codec is 'packed:hi3:bus'; expected CODEC:LAYOUT@FRACTION or auto:OBJECTIVE"),
    ("auto::hi3", "codec is 'auto::hi3'; expected CODEC:LAYOUT@FRACTION"),
    ("ans:", "codec is 'ans:'; expected CODEC:LAYOUT@FRACTION"),
    ("ans@", "the fraction that is compressed is ''; expected 0 to 1"),
    ("ans@0.5@0.5", "the fraction that is compressed is '0.5@0.5'; expected 0 to 1"),
    ("ans@-0.1", "the fraction that is compressed is -0.1; expected 0 to 1"),
    ("ans@nan", "the fraction that is compressed is nan; expected 0 to 1"),
])  # fmt: skip
def test_choice_that_does_not_exist_is_an_error_that_names_what_does(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CodecChoice.parse(text)


def test_choice_with_an_objective_of_a_codec_is_an_error() -> None:
    with pytest.raises(ConfigError, match="the objective of lz4 is 'size'; expected none"):
        CodecChoice("lz4", objective="size")


def test_choice_knows_every_codec_and_layout_of_the_library() -> None:
    for name, known in facts.codecs().items():
        assert CodecChoice(name).candidates == (name,)
        for layout in known.layouts:
            assert CodecChoice.parse(f"{name}:{layout}").candidates == (f"{name}:{layout}",)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--codec", "zstd"], "'zstd' is not one of 'auto', 'stored', 'lz4', 'ans', 'packed', 'bitmap', 'bitmap:stored'"),
    (["--codec", "packed:hi9"], "the layout of packed is 'hi9'; expected one of"),
    (["--codec", "ans@2"], "the fraction that is compressed is 2; expected 0 to 1"),
    (["--codec", "ans@0.5", "--partial", "0.5"], "the share that is compressed is said twice"),
    (["--codec", "packed:hi3", "--board", "this"], "the layout is said twice"),
    (["--codec", "auto:size", "--objective", "compute"], "say different things"),
])  # fmt: skip
def test_cli_codec_that_makes_no_sense_is_a_usage_error(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("|", " ").split())
