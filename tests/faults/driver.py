"""Runs `lpc-export` again and again in forked children, each with a fault at a moment of its own; see harness.py.

Started with the shim preloaded. Every line of stdin is a request as JSON; every answer is a line on stdout. A child
notes each weight as soon as it is written, so that a small model has as many moments as a large one.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import edge_runtime.session  # noqa: F401 (what an export imports, once and not in every child)
import exporters.lossy  # noqa: F401
from exporters.cli import main
from exporters.package import weight_writer

MODES = ("count", "kill", "full")


def child(request: dict[str, Any], output: Path) -> None:
    """Arm the shim and become lpc-export."""
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if request.get("log") else -1
    weight_writer._SYNC_BYTES = 1
    sys.argv = ["lpc-export", *request["arguments"]]
    shim = ctypes.CDLL(None)
    if request.get("mode"):
        shim.fault_arm(
            os.fsencode(request["below"]), MODES.index(request["mode"]), ctypes.c_long(request.get("at", 0)), log,
            int(request.get("without_exchange", False)),
        )  # fmt: skip
    try:
        main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve(output: Path) -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            child(request, output)
        _, status = os.waitpid(process, 0)
        text = output.read_text(encoding="utf-8", errors="replace")
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "output": text}), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
