"""Where a board's packages come from: its index, or wheels carried over. Real downloads: `make test-board`."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_models import ExportModel
from ssh_board import SSHD, USER, SshBoard, invoke

from edge_runtime.remote import wheels

BOARD = f"{USER}@127.0.0.1"
QUICK = ("-p", "8", "-n", "0", "-r", "1", "--interval", "0.1", "--json")
INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
OWN_BYTES = 10_000_000
"""Our wheel and the model are less, the wheels of onnxruntime and numpy more."""


def reason() -> str | None:
    """Why these tests cannot run here; None if they can."""
    if os.environ.get("LPC_TEST_PACKAGES") != "1":
        return "downloads 200 MB: run `make test-board`, or set LPC_TEST_PACKAGES=1"
    if SSHD is None:
        return "no sshd: apt-get install openssh-server"
    try:
        urllib.request.urlopen(f"{INDEX}/numpy/", timeout=10).close()
    except OSError as error:
        return f"no package index is reachable ({INDEX}: {error})"
    return None


REASON = reason()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture
def board(tmp_path: Path, wheel_folder: Path) -> Iterator[SshBoard]:
    """A board with nothing but Python; its PATH begins with an empty folder, `bin`, for tests to put things into."""
    tools = tmp_path / "board/bin"
    tools.mkdir(parents=True)
    path = f"{tools}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    with SshBoard(tmp_path / "board", wheel_folder, path=path) as found:
        yield found


@pytest.mark.parametrize("packages", ["index", "auto"])
def test_packages_come_from_the_index_of_the_board(board: SshBoard, export_model: ExportModel, packages: str) -> None:
    model = export_model("demo_model", "lz4")
    done = invoke(board, BOARD, str(model), *QUICK, "--packages", packages, "--keep")
    assert done.returncode == 0, done.stderr
    assert "making the virtual environment, packages from the board's index" in done.stderr
    found = json.loads(done.stdout)
    assert 0 < found["remote"]["uploaded"]["sent_bytes"] < OWN_BYTES
    assert set(found["environment"]["packages"]) == {"onnxruntime", "numpy", "tokenizers"}
    inside = [path for path in board.place.glob("runtime/*/lib/python*/site-packages/onnxruntime") if path.is_dir()]
    assert len(inside) == 1  # in the runtime's own environment, not in one that it shares
    again = invoke(board, BOARD, str(model), *QUICK, "--packages", packages)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["remote"]["uploaded"]["sent_bytes"] == 0


def test_packages_auto_are_carried_where_the_board_reaches_no_index(
    board: SshBoard, export_model: ExportModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_CACHE", tmp_path / "cache")
    unreachable(board)
    done = invoke(board, BOARD, str(export_model("demo_model", "lz4")), *QUICK, "--packages", "auto")
    assert done.returncode == 0, done.stderr
    assert "its index does not serve: fetching the wheels here and carrying them over" in done.stderr
    assert json.loads(done.stdout)["remote"]["uploaded"]["sent_bytes"] > OWN_BYTES
    assert [path.name for path in (tmp_path / "cache").glob("*/onnxruntime-*.whl")]
    assert not board.base.exists()


def test_packages_index_that_cannot_be_reached_is_said_and_left_clean(
    board: SshBoard, export_model: ExportModel
) -> None:
    unreachable(board)
    done = invoke(board, BOARD, str(export_model("demo_model", "lz4")), *QUICK, "--packages", "index")
    assert done.returncode == 1
    assert "installing the wheel and what it needs failed" in done.stderr
    assert not board.base.exists()


def unreachable(board: SshBoard) -> None:
    """Let the board's pip ask an index that is not there, and nowhere else."""
    file = board.folder / "bin/python3"
    file.write_text(
        "#!/bin/sh\nexport PIP_INDEX_URL=http://127.0.0.1:1/simple PIP_NO_INDEX= PIP_CONFIG_FILE=/dev/null\n"
        f'exec {sys.executable} "$@"\n',
        encoding="ascii",
    )
    file.chmod(0o755)
