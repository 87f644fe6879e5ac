"""`lpc-board` as people call it, and profiles turned into figures."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from plan_models import write_package
from real_models import RunPython

from boards import names
from boards.profile import parse
from edge_runtime.errors import BoardError
from edge_runtime.machine.board import budget_of, figures_of, load_profile

LPC_BOARD = "from edge_runtime.cli.board import main; main()"


def board(run_python: RunPython, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python(LPC_BOARD, *arguments)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("cli") / "tiny").path


def profile_of(**fields: Any) -> Any:
    """A profile with these sections."""
    return parse({"schema": 1, "id": "test", "name": "test", **fields})


def number(value: float, unit: str, **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": unit, "kind": "measured", "source": "s", **more}


def test_list_names_every_board(run_python: RunPython) -> None:
    done = board(run_python, "list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == names()
    listed = json.loads(board(run_python, "list", "--json").stdout)
    assert [entry["id"] for entry in listed] == names()


def test_show_prints_figures_with_kind_and_source(run_python: RunPython) -> None:
    done = board(run_python, "show", "raspberry-pi-5")
    assert "13.23 GB/s, threads 2" in done.stdout
    assert "[measured: ggml-org/llama.cpp issue #26484" in done.stdout
    values = json.loads(board(run_python, "show", "raspberry-pi-5", "--json").stdout)
    assert values["figures"]["cpu.cores"][0]["value"] == 4


def test_show_unknown_board_exits_1_with_a_hint(run_python: RunPython) -> None:
    done = board(run_python, "show", "jetson-orin-nano")
    assert done.returncode == 1
    assert "did you mean jetson-orin-nano" in done.stderr
    assert done.stdout == ""


def test_detect_below_another_root(run_python: RunPython, tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    done = board(run_python, "detect", "--root", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "raspberry-pi-5\n")
    values = json.loads(board(run_python, "detect", "--root", str(tmp_path), "--json").stdout)
    assert (values["id"], values["exact"]) == ("raspberry-pi-5", True)
    assert values["identity"]["model"] == "Raspberry Pi 5 Model B Rev 1.0"


@pytest.mark.parametrize("name", names())
def test_plan_works_for_every_board(name: str, model: Path, run_python: RunPython) -> None:
    from edge_runtime.package import Package
    from edge_runtime.plan import plan_for, table

    made = plan_for(Package.open(model), figures_of(load_profile(name)), 700 << 20)
    assert made.verdict == "streams"
    assert name in table(made)


def test_plan_prints_table_or_json_and_exits_1_when_impossible(model: Path, run_python: RunPython) -> None:
    arguments = ("plan", str(model), "--board", "raspberry-pi-5", "--storage", "sd")
    done = board(run_python, *arguments, "--memory-budget", "700MiB")
    assert done.returncode == 0, done.stderr
    assert "streams at" in done.stdout
    done = board(run_python, *arguments, "--memory-budget", "200MiB", "--json")
    values = json.loads(done.stdout)
    assert (done.returncode, values["verdict"]) == (1, "impossible")
    assert values["needed_bytes"] > 200 << 20


def test_plan_default_budget_of_another_board_says_where_it_is_from(model: Path, run_python: RunPython) -> None:
    done = board(run_python, "plan", str(model), "--board", "jetson-orin-nano-8gb-super", "--context", "256")
    assert done.returncode == 0
    assert "available there: measured" in done.stderr


def test_plan_bus_limit_slows_the_prediction(model: Path, run_python: RunPython) -> None:
    def seconds(*more: str) -> float:
        done = board(
            run_python, "plan", str(model), "--board", "radxa-rock-5b", "--memory-budget", "700MiB", "--json", *more
        )
        return float(json.loads(done.stdout)["bus_seconds"])

    assert seconds("--bus-limit", "200MB/s") > 3 * seconds()
    assert seconds("--bus-limit", "200GB/s") == seconds()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--memory-budget", "3X"),
        ("--bus-limit", "fast"),
        ("--context", "0"),
        ("--kv-dtype", "fp8"),
        ("--threads", "0"),
    ],
)
def test_plan_wrong_option_exits_2(model: Path, arguments: tuple[str, str], run_python: RunPython) -> None:
    done = board(run_python, "plan", str(model), "--board", "raspberry-pi-5", *arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_plan_of_no_model_exits_1(tmp_path: Path, run_python: RunPython) -> None:
    done = board(run_python, "plan", str(tmp_path))
    assert done.returncode == 1
    assert "lpc-export" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_loads_nothing_heavy(run_python: RunPython) -> None:
    code = (
        "import sys\nfrom edge_runtime.cli.board import command\ntry: command(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'onnxruntime', 'tomllib', 'serial') if m in sys.modules], file=sys.stderr)"
    )
    done = run_python(code)
    assert "lpc-board measure --save here.toml" in done.stdout
    assert done.stderr.strip() == "[]"


def test_figures_measured_reads_up_to_the_threads_count() -> None:
    reads = [number(9, "GB/s", threads=1), number(13, "GB/s", threads=2), number(20, "GB/s", threads=8)]
    profile = profile_of(memory={"cpu_read": reads})
    assert figures_of(profile, threads=4).dram.bytes_per_s == 13e9
    assert figures_of(profile, threads=8).dram.bytes_per_s == 20e9


def test_figures_single_thread_read_says_that_more_may_be_faster() -> None:
    rate = figures_of(profile_of(memory={"cpu_read": [number(9, "GB/s", threads=1)]}), threads=6).dram
    assert "1 of 6 threads" in rate.source


def test_figures_copy_counts_twice_but_never_beyond_theory() -> None:
    memory = {"cpu_copy": [number(9, "GB/s", threads=1)], "bandwidth": number(15, "GB/s")}
    rate = figures_of(profile_of(memory=memory), threads=4).dram
    assert (rate.bytes_per_s, rate.kind) == (15e9, "derived")


def test_figures_nothing_known_is_marked_as_assumed() -> None:
    figures = figures_of(load_profile("generic-x86-64"), threads=4)
    assert {figures.dram.kind, figures.bus.kind, figures.decode_rate("lz4").kind} == {"assumed"}


def test_figures_storage_is_the_fastest_or_the_one_named() -> None:
    profile = load_profile("raspberry-pi-5")
    assert figures_of(profile).bus.bytes_per_s == pytest.approx(0.80015e9)
    assert figures_of(profile, "sd").bus.bytes_per_s == pytest.approx(0.092e9)
    with pytest.raises(BoardError, match=r"storage is 'ufs'.*nvme, sd"):
        figures_of(profile, "ufs")


def test_figures_small_random_reads_are_not_the_bus() -> None:
    reads = [number(0.06, "GB/s", block_bytes=4096)]
    assert figures_of(profile_of(storage={"nvme": {"read": reads}})).bus.kind == "assumed"


def test_figures_many_reads_like_the_stores_count_by_their_median() -> None:
    def read(rate: float, block: int, depth: int, direct: bool = True) -> dict[str, Any]:
        return number(rate, "GB/s", block_bytes=block, queue_depth=depth, direct=direct)

    reads = [read(0.40, 1 << 20, 2), read(0.45, 1 << 20, 4), read(0.41, 1 << 22, 8), read(0.9, 1 << 16, 4)]
    reads += [read(0.8, 1 << 20, 16), read(0.7, 1 << 20, 4, direct=False)]
    assert figures_of(profile_of(storage={"disk": {"read": reads}})).bus.bytes_per_s == pytest.approx(0.41e9)
    assert figures_of(profile_of(storage={"disk": {"read": reads[:2]}})).bus.bytes_per_s == pytest.approx(0.45e9)


def test_figures_decode_rates_are_the_measured() -> None:
    rates = [number(1, "GB/s", codec="lz4", threads=1), number(3, "GB/s", codec="lz4", threads=4)]
    profile = profile_of(decode={"rates": rates})
    assert figures_of(profile, threads=4).decode_rate("lz4").bytes_per_s == 3e9
    assert figures_of(profile, threads=2).decode_rate("lz4").bytes_per_s == 1e9


def test_budget_of_a_board_is_what_was_seen_available_or_a_share() -> None:
    seen, _ = budget_of(profile_of(memory={"available": [number(6, "GiB"), number(5, "GiB")]}))
    assert seen == (6 << 30) - (256 << 20)
    share, source = budget_of(profile_of(memory={"capacity": number(8, "GB")}))
    assert share < 7 << 30
    assert "assumed" in source
    with pytest.raises(BoardError, match="--memory-budget"):
        budget_of(load_profile("generic-x86-64"))
