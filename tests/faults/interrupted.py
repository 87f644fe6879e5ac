"""lpc-run, with a Ctrl-C at a moment of its own, on a bus or on a device of any speed: how long until it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WAIT_SECONDS = 60
LOADS, RUNS = b"loads\n", b"runs\n"
# A background job may inherit an ignored SIGINT. Both moments are told on stderr.
_RUN = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from edge_runtime.cli import eval, fence, run, watch
def telling(kind, line):
    enter = kind.__enter__
    def told(self):
        entered = enter(self)
        os.write(2, line)
        return entered
    kind.__enter__ = told
telling(fence.EndsAtOnce, b"loads\\n")
telling(watch.Watch, b"runs\\n")
main()
"""


def compiled_device(folder: Path) -> Path | None:
    """Compile the slow device into `folder`; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "device.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "device.c", "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return library


@dataclass(frozen=True)
class Slow:
    """How the weights are slow: a bus limit such as "100KB/s", or a `device` of `bytes_per_s`; neither: free."""

    bus: str = ""
    device: Path | None = None
    bytes_per_s: int = 0

    def environment(self, folder: Path) -> dict[str, str]:
        """What a process needs so that the files of `folder` are as slow."""
        if self.device is None:
            return dict(os.environ)
        return {
            **os.environ, "LD_PRELOAD": str(self.device), "DEVICE_BELOW": str(folder.resolve()),
            "DEVICE_BYTES_PER_S": str(self.bytes_per_s),
        }  # fmt: skip


def generating(folder: Path, slow: Slow) -> list[str]:
    """The command that generates from `folder`."""
    options = ["--bus-limit", slow.bus] if slow.bus else []
    return ["run", str(folder), "-p", "Once upon a time", "-n", "400", "--greedy", *options]


def seconds_to_end(
    folder: Path, slow: Slow, *, after: float, running: bool, command: Sequence[str] | None = None
) -> float:
    """Interrupt a command `after` seconds of its start, or of the moment when it generates; return how long it takes.

    `command` is without "lpc-", such as ["run", "FOLDER"]; None: `generating`. AssertionError if it ends otherwise than
    an interrupted command does.
    """
    program, *arguments = command or generating(folder, slow)
    code = _RUN.replace("main()", f"{program}.main()")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=slow.environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        while process.stderr is not None and (line := process.stderr.readline()) != (RUNS if running else LOADS):
            assert line, f"it ended with {process.wait()}"
        time.sleep(after)
        assert process.poll() is None, f"it had ended before Ctrl-C: {process.communicate()[1].decode()}"
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_SECONDS)
        seconds = time.monotonic() - begin
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, (process.returncode, said)
    assert b"Traceback" not in said, said
    return seconds
