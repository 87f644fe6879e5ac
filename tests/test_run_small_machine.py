"""Runs on a smaller machine: a real memory limit, a slow bus, progress and Ctrl-C there."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_models import ROOT, ExportModel, golden

from edge_runtime.bench.control_group import ControlGroup, GroupUnavailableError

RECORD = golden("demo_model")[0]
MB = 1_000_000
LIMIT = 300 * MB
WAIT_SECONDS = 60
# A background job may inherit an ignored SIGINT.
LPC_RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from edge_runtime.cli.run import main
main()
"""


def command(folder: Path, *options: str) -> list[str]:
    count = str(len(RECORD["greedy_ids"]))
    return [sys.executable, "-c", LPC_RUN, str(folder), "-p", RECORD["prompt"], "-n", count, "--greedy", *options]


def wait_for_weights(process: subprocess.Popen[str]) -> None:
    """Return when the process has its weight file open: the budget is then checked and the run about to begin."""
    files, deadline = Path(f"/proc/{process.pid}/fd"), time.monotonic() + WAIT_SECONDS
    while not any(os.path.realpath(file).endswith("model.lpc") for file in files.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def group() -> Iterator[ControlGroup]:
    try:
        with ControlGroup(memory_bytes=LIMIT) as made:
            yield made
    except GroupUnavailableError as error:
        pytest.skip(str(error))


def test_memory_limit_counts_the_page_cache_and_holds(export_model: ExportModel, group: ControlGroup) -> None:
    done = group.run(command(export_model("demo_model", "lz4"), "--json", "--memory-budget", "280MB"), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["token_ids"] == RECORD["greedy_ids"]
    assert 10 * MB < group.memory_peak < LIMIT
    assert group.out_of_memory_kills == 0


def test_memory_limit_below_the_budget_is_refused_with_both_numbers(
    export_model: ExportModel, group: ControlGroup
) -> None:
    done = group.run(command(export_model("demo_model", "lz4"), "--memory-budget", "301MB"), cwd=ROOT)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"got 301000000 bytes .* allows (2999\d{5}|300000000) ", done.stderr)
    assert done.stderr.count("\n") == 1
    assert group.out_of_memory_kills == 0


def test_memory_limit_of_a_group_above_counts(export_model: ExportModel, group: ControlGroup) -> None:
    inner = group.memory_folder / "inner"
    inner.mkdir()
    try:
        joined = ["/bin/sh", "-c", f'echo $$ > {inner}/cgroup.procs && exec "$@"', "sh"]
        done = group.run([*joined, *command(export_model("demo_model", "lz4"), "--memory-budget", "1GB")], cwd=ROOT)
    finally:
        inner.rmdir()
    assert done.returncode == 1
    assert re.search(r"got 1000000000 bytes .* allows (2999\d{5}|300000000) ", done.stderr)


def test_memory_limit_is_what_lpc_run_plans_for_by_itself(export_model: ExportModel, group: ControlGroup) -> None:
    done = group.run(command(export_model("demo_model", "lz4"), "--plan", "--json"), cwd=ROOT)
    budget = json.loads(done.stdout)["budget_bytes"]
    assert 0 < budget < LIMIT - (200 << 20)  # the reserve is left alone


def test_memory_limit_lowered_while_running_changes_no_token(export_model: ExportModel, group: ControlGroup) -> None:
    options = ("--json", "--memory-budget", "280MB", "--bus-limit", "8MB/s")
    process = group.popen(
        command(export_model("demo_model", "lz4"), *options), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    wait_for_weights(process)
    time.sleep(1)  # somewhere in the middle; anywhere is right
    for limit in (group.memory_now + 30 * MB, 10 * MB):
        try:
            group.limit_memory(limit)
        except OSError:
            continue  # the kernel refuses what it would have to kill for
        break
    out, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert json.loads(out)["token_ids"] == RECORD["greedy_ids"]
    assert group.out_of_memory_kills == 0


def test_reads_limited_by_the_kernel_change_no_token(export_model: ExportModel) -> None:
    folder = export_model("demo_model", "lz4")
    options = ("--json", "--memory-budget", "280MB", "--read-mode", "direct")
    try:
        with ControlGroup(memory_bytes=LIMIT, read_bytes_per_s=20 * MB, disk_of=folder) as group:
            done = group.run(command(folder, *options), cwd=ROOT)
            read = group.bytes_read
    except GroupUnavailableError as error:
        pytest.skip(str(error))
    if "refuses direct reads" in done.stderr:
        pytest.skip("this file system refuses direct reads")
    result = json.loads(done.stdout)
    assert result["token_ids"] == RECORD["greedy_ids"]
    assert read is not None
    assert read >= result["bytes_read"] * 0.9


class OnATerminal:
    """A run whose stderr is a terminal."""

    def __init__(self, arguments: list[str]) -> None:
        self._terminal, other = os.openpty()
        self.process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=other)
        os.close(other)
        self.text = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < deadline, self.text
            if select.select([self._terminal], [], [], 0.1)[0]:
                self.text += os.read(self._terminal, 4096).decode()
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._terminal)


@pytest.mark.parametrize("rate", ["1KB/s", "60KB/s"])  # minutes per weight; seconds per weight
def test_slow_bus_shows_progress_and_ctrl_c_does_not_wait_for_it(
    export_model: ExportModel, tmp_path: Path, rate: str
) -> None:
    trace = tmp_path / "trace.json"
    run = OnATerminal(command(export_model("demo_model", "lz4"), "--bus-limit", rate, "--trace", str(trace)))
    try:
        run.wait_for(r"prompt: \d+ s, layer \d+/\d+, [\d.]+ k?B/s")
        if rate == "60KB/s":
            run.wait_for(r"transcoded [\d.]+ kB, prompt: \d+ s, layer \d+/\d+, [\d.]+ kB/s, \d+ s left")
        begin = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        run.process.communicate(timeout=WAIT_SECONDS)
        seconds = time.monotonic() - begin
    finally:
        run.close()
    print(f"{rate}: ended {seconds:.2f} s after Ctrl-C")
    assert run.process.returncode == 130
    assert seconds < 5  # some tenths; not the minutes that its reads would take
    # At 1 KB/s nothing has arrived yet, so there is nothing to trace: a file from before would stay as it is.
    assert [file.name for file in tmp_path.iterdir()] == (["trace.json"] if rate == "60KB/s" else [])
    assert rate == "1KB/s" or json.loads(trace.read_text())["traceEvents"]
