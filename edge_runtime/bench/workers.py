"""The parent's side of a worker process: start, ask, end; a dead worker is an error that says how it died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edge_runtime.bench.messages import Checked, Failed, Opened, Request, Timed
from edge_runtime.bench.results import Kind
from edge_runtime.errors import LpcError
from edge_runtime.io.typed_json import Json, Record, read, write

_END_SECONDS = 10.0
_LAST_CHARACTERS = 400
_Answer = TypeVar("_Answer", bound=Record)


@dataclass(frozen=True)
class Configuration:
    """How a model is opened: provider, threads (0: automatic), further arguments of `edge_runtime.load`."""

    provider: str
    threads: int
    load: Mapping[str, Json] = field(default_factory=dict)

    def describe(self) -> str:
        """Return it for people."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}" if self.threads else "automatic threads"
        return ", ".join([self.provider, threads, *(f"{name}={value}" for name, value in self.load.items())])


class Worker:
    """A model opened in a process of its own; a context manager that ends the process."""

    def __init__(self, folder: Path, configuration: Configuration) -> None:
        """Start the process and open the model; raises LpcError if it cannot be opened."""
        self._what = f"{folder} ({configuration.describe()})"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": path},
            encoding="utf-8",
        )
        try:
            self.opened = self._ask(
                Opened,
                Request(
                    do="open",
                    path=str(folder),
                    provider=configuration.provider,
                    threads=configuration.threads,
                    load=configuration.load,
                ),
            )
        except LpcError:
            self.close()
            raise
        except BaseException:
            self.kill()  # it may take long to open the model, and nobody wants it any more
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self.close()
        else:
            self.kill()

    def check(self) -> Checked:
        """Let it generate a few tokens greedily; raises LpcError with the worker's own message, or how it ended."""
        return self._ask(Checked, Request(do="check"))

    def time(self, kind: Kind, tokens: int, depth: int) -> Timed:
        """Time `tokens` tokens behind `depth` others; raises LpcError as `check`."""
        return self._ask(Timed, Request(do="time", kind=kind, tokens=tokens, depth=depth))

    def _ask(self, kind: type[_Answer], request: Request) -> _Answer:
        if self._process.stdin is None or self._process.stdout is None:
            raise LpcError(f"{self._what}: the process has no pipes")
        try:
            self._process.stdin.write(json.dumps(write(request)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise LpcError(self._death()) from None
        line = self._process.stdout.readline()
        if not line:
            raise LpcError(self._death())
        answer = json.loads(line)
        if "error" in answer:
            raise LpcError(read(Failed, answer, self._what).error)
        return read(kind, answer, self._what)

    def close(self) -> None:
        """End the process: its stdin ends, and if that is not enough it is killed."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self.close()

    def _death(self) -> str:
        """How the process ended, and the last of what it wrote."""
        code = self._process.wait()
        how = f"ended with exit code {code}"
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += " (out of memory? try fewer configurations at once, or a smaller memory budget)"
        self._log.seek(0)
        last = " ".join(self._log.read().decode("utf-8", "replace")[-_LAST_CHARACTERS:].split())
        return f"{self._what}: the measuring process {how}" + (f": {last}" if last else "")
