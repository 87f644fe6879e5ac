"""`tegrastats` as a source: started once, read by a thread, the newest line wins."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading

from edge_runtime.bench.telemetry.reading import Reading
from edge_runtime.bench.telemetry.tegrastats import parse_line

NAME = "tegrastats"

_FIRST_LINE_SECONDS = 3.0
_STOP_SECONDS = 2.0


class TegraStatsSource:
    """A running tegrastats. `lines` and `garbage_lines` count what it wrote."""

    name = NAME
    interval_s = 0.0

    def __init__(self, executable: str, interval_s: float) -> None:
        self.lines = 0
        self.garbage_lines = 0
        self._reading = Reading()
        self._lock = threading.Lock()
        self._first = threading.Event()
        self._process = subprocess.Popen(
            [executable, "--interval", str(max(100, round(interval_s * 1000)))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
        )
        self._thread = threading.Thread(target=self._follow, name="lpc-tegrastats", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Process id of tegrastats, whose CPU time is part of what sampling costs."""
        return self._process.pid

    def wait(self) -> bool:
        """Wait for the first line that makes sense; False if it does not come."""
        return self._first.wait(_FIRST_LINE_SECONDS)

    def read(self) -> Reading:
        """Return the newest line's figures; nothing once tegrastats has ended, so that no old figure is repeated."""
        if self._process.poll() is not None:
            return Reading()
        with self._lock:
            return self._reading

    def close(self) -> None:
        """End tegrastats."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(_STOP_SECONDS)
        if self._process.stdout is not None:
            with contextlib.suppress(OSError):
                self._process.stdout.close()

    def _follow(self) -> None:
        for line in self._process.stdout or ():
            stats = parse_line(line)
            self.lines += 1
            if not stats.recognised:
                self.garbage_lines += 1
                continue
            with self._lock:
                self._reading = stats.reading()
            self._first.set()


def open_source(interval_s: float, commands: str | None) -> TegraStatsSource | str:
    """Start tegrastats from the search path `commands` (None: $PATH); the reason as a text if there is none."""
    executable = shutil.which("tegrastats", path=commands)
    if executable is None:
        return "not installed"
    try:
        source = TegraStatsSource(executable, interval_s)
    except OSError as error:
        return f"{executable} cannot be started ({error.strerror})"
    if not source.wait():
        source.close()
        return f"{executable} wrote {source.lines} lines in {_FIRST_LINE_SECONDS:.0f} s, none of them readable"
    return source
