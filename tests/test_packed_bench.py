"""`lpc-bench kernel`: its rows, and what it says about wrong options."""

from __future__ import annotations

import json

import pytest
from real_models import RunPython

from edge_runtime import native

MAIN = "from edge_runtime.cli.bench import main; main()"
SMALL = ("--shapes", "300x700", "--samples", "20", "--working-set", "64", "--threads", "1")


def test_kernel_json_has_a_row_for_every_layout_and_implementation(run_python: RunPython) -> None:
    names = native.implementations()[:2]
    done = run_python(MAIN, "kernel", *SMALL, "--layouts", "e3+3,hi4p", "--impl", ",".join(names), "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["impl"], row["layout"]) for row in rows] == [
        (name, kind) for name in names for kind in ("e3+3", "hi4p")
    ]
    for row in rows:
        assert row["shape"] == "300x700"
        assert row["threads"] == 1
        assert 11 < row["bits_per_weight"] < 13
        assert row["samples"] == len(row["packed_seconds"]) == len(row["bf16_seconds"]) == 20
        assert min(row["speedup_median"], row["speedup_p90"], row["bf16_fraction_of_read_ceiling"]) > 0


def test_kernel_table_names_shape_and_layout(run_python: RunPython) -> None:
    done = run_python(MAIN, "kernel", *SMALL, "--layouts", "e2+3", "--batch", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[1].split()[:2] == ["300x700", "e2+3"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--shapes", "4096"], 2, "'4096' is not a list such as 4096x4096,llama-2-7b,tinyllama"),
        (["--threads", "0"], 2, "'0' is not a list of numbers from 1 to 255"),
        (["--layouts", "e9"], 1, "layout: got 'e9', expected one of e2+3, hi4p, hi3, e3+3"),
        (["--impl", "sse9"], 1, "LPC_FORCE_IMPL=sse9: unknown or not supported"),
    ],
)
def test_kernel_wrong_option_is_one_clear_error(
    run_python: RunPython, arguments: list[str], status: int, message: str
) -> None:
    done = run_python(MAIN, "kernel", *arguments)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
