"""Fixtures for tests of `lpc-bench remote` that leave nothing behind: one board a file, checked after each test."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_models import ExportModel
from ssh_board import Done, FirstRun, SshBoard


@pytest.fixture(scope="module")
def folder(export_model: ExportModel) -> Path:
    return export_model("demo_model", "lz4")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, wheel_folder: Path) -> Iterator[SshBoard]:
    place = tmp_path_factory.mktemp("board")
    board = SshBoard(place, wheel_folder)
    board.log_in_with("/bin/bash")
    with board:
        yield board


@pytest.fixture
def board(running: SshBoard) -> Iterator[SshBoard]:
    """A board with bash; after a test nothing of ours is on it, and nothing of it runs."""
    yield running
    running.log_in_with("/bin/bash")
    (running.home / ".bashrc").unlink(missing_ok=True)
    nothing_left(running)


@pytest.fixture
def deployed(board: SshBoard, first_run: FirstRun) -> Iterator[SshBoard]:
    """The same with runtime and model on it already, which stay."""
    first_run.deploy(board.home)
    before = sorted(board.place.rglob("*"))
    yield board
    assert sorted(board.place.rglob("*")) == before
    shutil.rmtree(board.base)


def nothing_left(board: SshBoard) -> None:
    assert not board.base.exists()
    assert not list((board.folder / "tmp").iterdir())
    deadline = time.monotonic() + 3
    while left := [found for found in board.processes() if "lpc-bench" in " ".join(found.cmdline())]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def failed(done: Done, *messages: str) -> None:
    assert done.returncode == 1, done.stderr
    assert "unexpected" not in done.stderr
    for message in messages:
        assert message in done.stderr
