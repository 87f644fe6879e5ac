"""`lpc-bench remote` against an emulated arm64 board with our aarch64 wheel: `make test-board`, not in `make test`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated_board import USER, EmulatedBoard
from real_models import ROOT, ExportModel, RunPython
from ssh_board import LPC_BENCH

BOARD_ROOT = os.environ.get("LPC_BOARD_ROOT")
SMALL = ("-p", "16", "-n", "8", "-r", "2")
LIMIT_SECONDS = 1500

pytestmark = pytest.mark.skipif(BOARD_ROOT is None, reason="the emulated board is not made: run `make test-board`")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedBoard]:
    with EmulatedBoard(Path(str(BOARD_ROOT)).resolve(), tmp_path_factory.mktemp("board")) as started:
        yield started
        remote(started, "--clean", f"{USER}@127.0.0.1")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where results and pages go: kept in LPC_BOARD_OUT if that is set."""
    folder = Path(os.environ.get("LPC_BOARD_OUT") or tmp_path_factory.mktemp("out")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remote(board: EmulatedBoard, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", LPC_BENCH, "remote", *board.options(), *arguments],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip
    print(done.stderr)
    return done


def measured(board: EmulatedBoard, model: Path, out: Path, *options: str) -> dict[str, Any]:
    """Deploy, run and fetch; the runtime stays for the next test."""
    page = out / f"{model.name}.html"
    command = (*SMALL, *options, "--keep", "-o", str(out / f"{model.name}.json"), "--report", str(page))
    done = remote(board, f"{USER}@127.0.0.1", str(model), "--packages", "carry", *command)
    assert done.returncode == 0, done.stderr
    assert page.read_text(encoding="utf-8").count("<svg") >= 4
    result: dict[str, Any] = json.loads((out / f"{model.name}.json").read_text(encoding="utf-8"))
    return result


def local_ids(model: Path, run_python: RunPython) -> list[int]:
    done = run_python(LPC_BENCH, "run", str(model), *SMALL, "-q", "--json")
    assert done.returncode == 0, done.stderr
    ids: list[int] = json.loads(done.stdout)["check"]["token_ids"]
    return ids


@pytest.mark.parametrize("name", ["demo_model", "stories260k"])
def test_emulated_board_runs_the_wheel_and_generates_what_is_generated_here(
    board: EmulatedBoard, export_model: ExportModel, run_python: RunPython, out: Path, name: str
) -> None:
    model = export_model(name, "lz4")
    result = measured(board, model, out, "--layers")
    assert result["check"]["token_ids"] == local_ids(model, run_python)
    assert result["environment"]["machine"] == "aarch64"
    assert result["build"]["isa"] == "neon"
    assert result["board"]["id"].startswith("jetson-agx-orin")
    assert result["remote"]["before"]["jetpack"] == "6.2.1"
    assert result["remote"]["before"]["power_mode"] == "MODE_30W"
    for test in result["tests"]:
        assert len(test["repetitions"]) == 2
        assert test["repetitions"][0]["counters"]["nodes_unclaimed"] == 0


def test_emulated_board_energy_comes_from_tegrastats(
    board: EmulatedBoard, export_model: ExportModel, out: Path
) -> None:
    result = measured(board, export_model("demo_model", "lz4"), out, "-n", "64", "-r", "4", "--interval", "0.2")
    assert "tegrastats" in result["telemetry"]["sources"]
    generation = next(test for test in result["tests"] if test["kind"] == "tg")
    assert generation["energy"]["joules_per_token"] > 0
    assert result["telemetry"]["power"]["basis"].startswith("sum of rails")


def test_emulated_board_random_model_of_100_mb(
    board: EmulatedBoard, run_python: RunPython, out: Path, tmp_path: Path
) -> None:
    source, model = tmp_path / "source", tmp_path / "random-100mb"
    script = ROOT / "benchmarks/make_checkpoint.py"
    subprocess.run([sys.executable, str(script), "llama-100mb", str(source)], check=True)
    subprocess.run(
        [sys.executable, "-c", "from exporters.cli import main; main()", str(source), "-o", str(model)], check=True
    )
    result = measured(board, model, out, "-p", "8", "-n", "4", "--layers")
    assert result["check"]["token_ids"] == local_ids(model, run_python)
    assert result["remote"]["uploaded"]["sent_bytes"] > 60e6
    again = measured(board, model, out, "-p", "8", "-n", "4", "--layers")
    assert again["remote"]["uploaded"]["sent_bytes"] == 0


def test_emulated_board_is_clean_afterwards(board: EmulatedBoard) -> None:
    done = remote(board, "--clean", f"{USER}@127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert not board.base.exists()
