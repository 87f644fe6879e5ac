"""What a board gives as the result of a run: checked before it is fetched, and fetched in a limited time."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from remote_board import failed
from ssh_board import (
    BOARD,
    QUICK,
    SSHD,
    USER,
    FirstRun,
    Relay,
    SshBoard,
    invoke,
    started,
    suspended,
    wait_for_line,
)

from edge_runtime.remote.board.common import this_process
from edge_runtime.remote.board.place import MARK

LONG = ("-p", "256", "-n", "0", "-r", "40")
pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd: apt-get install openssh-server")


def ended_job(board: SshBoard) -> Path:
    """A run that has ended, with no result yet; returns where that belongs."""
    job = board.place / "jobs/20260101-000000-abcdef"
    job.mkdir(parents=True)
    (board.base / MARK).write_text(json.dumps({"made": [str(board.base)]}), encoding="ascii")
    (job / "log").write_text("done\n", encoding="ascii")
    (job / "made").write_text('{"paths": []}', encoding="ascii")
    (job / "started").write_text(json.dumps({**this_process(), "start": "0"}), encoding="ascii")
    (job / "ended").write_text('{"code": 0}', encoding="ascii")
    return job / "result.json"


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "is no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "symbolic links"),
        (Path.mkdir, "is no regular file"),
        (sparse, f"has {20 << 30} bytes, expected at most"),
        (lambda path: path.write_text("[" * 100_000), "not JSON ("),
        (lambda path: path.write_text("{}"), "result"),
    ],
)
def test_remote_result_that_is_none_is_refused_at_once(
    board: SshBoard, folder: Path, make: Callable[[Path], Any], message: str
) -> None:
    make(ended_job(board))
    began = time.monotonic()
    failed(invoke(board, BOARD, str(folder), "--resume"), message)
    assert time.monotonic() - began < 8


def test_remote_result_that_does_not_come_in_time_is_given_up_whatever_reconnects(
    board: SshBoard, folder: Path, first_run: FirstRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_runtime.remote import job

    monkeypatch.setattr(job, "_FETCH_SECONDS", 1.0)
    monkeypatch.setattr(job, "_SLOWEST_LINK", 1e9)
    result = json.loads(first_run.out.read_text(encoding="utf-8"))
    result["warnings"] = [os.urandom(1 << 21).hex()]
    ended_job(board).write_text(json.dumps(result), encoding="utf-8")
    began = time.monotonic()
    with Relay(board.port, rate=3e5) as relay:
        board.trust(relay.port)
        failed(invoke(board, BOARD, str(folder), "--resume", port=relay.port), "did not arrive in time")
    assert time.monotonic() - began < 15
    assert invoke(board, "--clean", BOARD).returncode == 0


def test_remote_second_operator_is_refused_and_lost_connections_do_not_begin_the_limit_anew(
    deployed: SshBoard, folder: Path
) -> None:
    with Relay(deployed.port) as relay:
        deployed.trust(relay.port)
        with started(deployed, BOARD, str(folder), *LONG, "--reconnect", "1", port=relay.port) as process:
            wait_for_line(process, f" 1 of {LONG[-1]}")
            with suspended(deployed):
                second = invoke(deployed, BOARD, str(folder), *QUICK)
                relay.cut_each_after = 2000  # within the handshake
                relay.cut()
                began = time.monotonic()
                _, errors = process.communicate(timeout=60)
                lasted = time.monotonic() - began
    failed(second, f"{USER}@{socket.gethostname()}, process {process.pid} (since ", "s) is at work on this board")
    assert process.returncode == 1
    assert "(tried for 1 s); the run goes on there: the same command with --resume" in errors
    assert lasted < 15
    done = invoke(deployed, BOARD, str(folder), "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["tests"][0]["repetitions"]) == int(LONG[-1])
