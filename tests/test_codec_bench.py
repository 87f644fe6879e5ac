"""`lpc-bench codec`: rows with every field, predictions for partial compression, and the bound of pruned weights."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from edge_runtime.cli.bench_codec import command

FIELDS = {
    "source",
    "codec",
    "impl",
    "threads",
    "bits_per_weight",
    "bound_bits_per_weight",
    "encode_gb_per_s",
    "decode_gb_per_s",
    "memcpy_gb_per_s",
}


def rows(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(command, ["gauss:256x512", "--samples", "3", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_codec_bench_rows_have_every_field() -> None:
    found = rows("--codec", "lz4,ans,packed", "--threads", "1,2")
    assert [(row["codec"], row["threads"]) for row in found] == [
        (name, threads) for threads in (1, 2) for name in ("lz4", "ans", "packed")
    ]
    assert all(row.keys() >= FIELDS for row in found)
    assert all(row["bound_bits_per_weight"] < row["bits_per_weight"] < 16 for row in found)


def test_codec_bench_partial_rows_have_predictions_and_fractions() -> None:
    found = {row["codec"]: row for row in rows("--codec", "ans@0,ans@0.5,ans")}
    slow, half, fast = (found[name] for name in ("ans", "ans@0.5", "ans@0"))
    expected = 2 / (1 / slow["decode_gb_per_s"] + 1 / fast["decode_gb_per_s"])
    assert half["predicted_decode_gb_per_s"] == pytest.approx(expected)
    assert [0 <= share <= 1 for share in slow["fraction_for_bus"].values()] == [True] * 3


def test_codec_bench_bitmap_row_has_the_bound_of_the_non_zeros() -> None:
    (row,) = rows("--codec", "bitmap", "--sparsity", "0.5")
    assert row["bitmap_bound_bits_per_weight"] < row["bits_per_weight"] < 1.05 * row["bitmap_bound_bits_per_weight"]


def test_codec_bench_text_tells_fraction_and_prediction() -> None:
    done = CliRunner().invoke(command, ["gauss:256x512", "--samples", "3", "--codec", "lz4@0,lz4@0.5,lz4"])
    assert "predicted decode" in done.output
    assert "keeps up with the bus: " in done.output
    assert "at 4 GB/s" in done.output


@pytest.mark.parametrize("codecs", ["ans@2", "ans@x", "ans@-1"])
def test_codec_bench_impossible_fraction_is_a_usage_error(codecs: str) -> None:
    done = CliRunner().invoke(command, ["gauss:256x512", "--codec", codecs])
    assert done.exit_code == 2
    assert "fraction of 0 to 1" in done.output
