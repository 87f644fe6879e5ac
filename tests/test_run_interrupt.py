"""Ctrl-C, a reader that goes away, and progress of slow tokens."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.interrupted import Slow, compiled_device, seconds_to_end
from real_models import ROOT, ExportModel, RunPython, golden

from edge_runtime.cli import watch
from edge_runtime.cli.watch import Watch

RECORD = golden("demo_model")[0]
PROMPT = RECORD["prompt"]
SPACE = 12
PIPE_BYTES = 4096
WAIT_SECONDS = 60
SOON = 6.0
# A background job may inherit an ignored SIGINT; these tests want the one of a terminal.
LPC_RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from edge_runtime.cli.run import main
main()
"""
INTERRUPTS_ITSELF = """
import os, signal, time
from edge_runtime import generate

piece = generate.Generation._piece
def interrupting(self, *arguments):
    if len(self._token_ids) == 5:
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 30
        while not self._cancelled and time.monotonic() < deadline:
            time.sleep(0.001)
    return piece(self, *arguments)
generate.Generation._piece = interrupting
"""


@dataclass
class BlockedRun:
    """A run that has written some text, and whose reader does not read."""

    process: subprocess.Popen[bytes]
    read_fd: int

    def drain(self) -> str:
        """Read the rest of its text, until it ends."""
        chunks = []
        while chunk := os.read(self.read_fd, PIPE_BYTES):
            chunks.append(chunk)
        return b"".join(chunks)[PIPE_BYTES - SPACE :].decode()


@pytest.fixture
def blocked_run(export_model: ExportModel) -> Iterator[BlockedRun]:
    read_fd, write_fd = os.pipe()
    assert fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES
    os.write(write_fd, b"." * (PIPE_BYTES - SPACE))
    arguments = [str(export_model("demo_model", "lz4")), "-p", PROMPT, "--greedy", "-n", "400"]
    process = subprocess.Popen(
        [sys.executable, "-c", LPC_RUN, *arguments], cwd=ROOT, stdout=write_fd, stderr=subprocess.PIPE
    )
    os.close(write_fd)
    wait_for(lambda: bytes_in_pipe(read_fd) > PIPE_BYTES - SPACE or process.poll() is not None)
    yield BlockedRun(process, read_fd)
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
    os.close(read_fd)


def bytes_in_pipe(read_fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(read_fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_ctrl_c_keeps_the_text_and_prints_the_summary(blocked_run: BlockedRun) -> None:
    blocked_run.process.send_signal(signal.SIGINT)
    text = blocked_run.drain()
    _, stderr = blocked_run.process.communicate(timeout=WAIT_SECONDS)
    assert blocked_run.process.returncode == 130, stderr
    assert 1 < len(text) < 10 * SPACE
    assert RECORD["text"].startswith(PROMPT + text.removesuffix("\n"))
    assert re.fullmatch(r"prompt: \d+ tokens, .* generation: \d+ tokens?, .*\n", stderr.decode())


def test_ctrl_c_twice_ends_at_once(blocked_run: BlockedRun) -> None:
    def interrupted() -> bool:
        blocked_run.process.send_signal(signal.SIGINT)
        return blocked_run.process.poll() is not None

    wait_for(interrupted)
    assert blocked_run.process.returncode in (130, -signal.SIGINT)
    assert b"Traceback" not in blocked_run.process.communicate()[1]


def test_ctrl_c_with_json_prints_the_object(export_model: ExportModel, run_python: RunPython) -> None:
    arguments = (str(export_model("demo_model", "lz4")), "-p", PROMPT, "--greedy", "-n", "400", "--json")
    done = run_python(INTERRUPTS_ITSELF + LPC_RUN, *arguments)
    assert (done.returncode, done.stderr) == (130, "")
    result = json.loads(done.stdout)
    assert (result["finish_reason"], result["token_ids"]) == ("interrupted", RECORD["greedy_ids"][:5])


def test_reader_goes_away_ends_quietly(export_model: ExportModel) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    arguments = [str(export_model("demo_model", "lz4")), "-p", PROMPT, "--greedy"]
    done = subprocess.run(
        [sys.executable, "-c", LPC_RUN, *arguments],
        cwd=ROOT,
        stdout=write_fd,
        stderr=subprocess.PIPE,
        timeout=WAIT_SECONDS,
        check=False,
    )
    os.close(write_fd)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = compiled_device(tmp_path_factory.mktemp("device"))
    if library is None:
        pytest.skip("no C compiler")
    return library


# At most 0.3 s by benchmarks/ctrl_c.py. A weight takes seconds on this bus and device, a pass a quarter minute.
@pytest.mark.parametrize("running", [False, True])
def test_ctrl_c_on_a_slow_bus_does_not_wait_for_it(export_model: ExportModel, running: bool) -> None:
    assert seconds_to_end(export_model("demo_model", "lz4"), Slow(bus="100KB/s"), after=0.4, running=running) < SOON


@pytest.mark.parametrize(("running", "after"), [(False, 1.2), (True, 0.6)])
def test_ctrl_c_on_a_slow_device_does_not_wait_for_it(
    export_model: ExportModel, device: Path, running: bool, after: float
) -> None:
    slow = Slow(device=device, bytes_per_s=100_000)
    assert seconds_to_end(export_model("demo_model", "lz4"), slow, after=after, running=running) < SOON


def test_ctrl_c_in_a_pass_of_lpc_eval_does_not_wait_for_it(export_model: ExportModel, device: Path) -> None:
    folder, text = export_model("demo_model", "lz4"), ROOT / "examples" / "demo_model" / "held_out.txt"
    slow = Slow(device=device, bytes_per_s=200_000)
    command = ["eval", str(folder), "--text", str(text)]
    assert seconds_to_end(folder, slow, after=3, running=False, command=command) < SOON


def test_ctrl_c_where_python_would_lose_it_ends_the_command(run_python: RunPython) -> None:
    code = """
import os, signal, time, click
from edge_runtime.cli.fence import run_command
class Loses:
    def __del__(self):  # as a weak reference's callback during an import
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
@click.command()
def command():
    Loses()
    print("it went on")
run_command(command, "lpc-x", ends_at_once=True)
"""
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nlpc-x: interrupted\n")


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress comes after 20 ms instead of a second."""
    monkeypatch.setattr(watch, "SLOW_SECONDS", 0.02)
    monkeypatch.setattr(watch, "_REFRESH_SECONDS", 0.01)


def slow_token(stdout: io.StringIO, stderr: io.StringIO, text: str = "abc", calls: int = 1) -> None:
    """Write `text`, then wait until progress was asked for `calls` times."""
    shown = threading.Semaphore(0)

    def describe(seconds: float) -> str:
        assert seconds >= watch.SLOW_SECONDS
        shown.release()
        return "token 2: busy"

    with Watch(lambda: None, describe, stdout, stderr) as watcher:
        watcher.clear()
        watcher.wrote(text)
        for _ in range(calls):
            assert shown.acquire(timeout=WAIT_SECONDS)


@pytest.mark.usefixtures("impatient")
def test_slow_token_text_in_a_file_shows_progress_on_its_own_line() -> None:
    stderr = Terminal()
    slow_token(io.StringIO(), stderr)
    assert stderr.getvalue().startswith("\rtoken 2: busy\x1b[K")
    assert stderr.getvalue().endswith("\r\x1b[K")


@pytest.mark.usefixtures("impatient")
def test_slow_token_text_on_the_terminal_shows_progress_beside_it() -> None:
    stderr = Terminal()
    slow_token(Terminal(), stderr)
    assert stderr.getvalue().startswith("\x1b7  [token 2: busy]\x1b[K\x1b8")
    assert stderr.getvalue().endswith("\x1b[K")


@pytest.mark.usefixtures("impatient")
def test_slow_token_without_room_on_the_line_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stderr = Terminal()
    slow_token(Terminal(), stderr, text="one line\n" + "x" * 30, calls=2)
    assert stderr.getvalue() == ""


@pytest.mark.usefixtures("impatient")
def test_slow_token_without_a_terminal_shows_nothing() -> None:
    stderr = io.StringIO()
    with Watch(lambda: None, lambda seconds: "busy", io.StringIO(), stderr):
        time.sleep(0.1)
    assert stderr.getvalue() == ""


def test_watch_restores_the_signal_handler_and_its_thread_ends() -> None:
    before = signal.getsignal(signal.SIGINT), threading.active_count()
    with Watch(lambda: None, lambda seconds: "", io.StringIO(), io.StringIO()):
        pass
    assert (signal.getsignal(signal.SIGINT), threading.active_count()) == before


def test_watch_in_another_thread_leaves_signals_alone() -> None:
    handlers: list[object] = []

    def use() -> None:
        with Watch(lambda: None, lambda seconds: "", io.StringIO(), io.StringIO()):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
