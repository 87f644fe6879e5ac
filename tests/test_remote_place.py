"""Folders on a board that others use as well: boards that share a home come and go at the same moments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.remote.board import place

VISITS = 150
VISITOR = """
import sys
from pathlib import Path
from edge_runtime.remote.board import place

number, root, visits = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
place.board_id = lambda: f"b{number}-0000000{number}"
for _ in range(visits):
    base = place.base_of(str(root))
    place.make(base, True)
    (base / "jobs").mkdir()
    place.drop(base)
    assert not base.exists()
"""


def test_place_boards_of_one_home_at_the_same_moments_leave_nothing(tmp_path: Path) -> None:
    root = tmp_path / "home" / ".cache" / "lpc-bench"
    (tmp_path / "home").mkdir()
    visitors = [
        subprocess.Popen([sys.executable, "-c", VISITOR, str(number), str(root), str(VISITS)], stderr=subprocess.PIPE)
        for number in range(3)
    ]
    errors = [visitor.communicate(timeout=60)[1].decode() for visitor in visitors]
    assert [visitor.returncode for visitor in visitors] == [0, 0, 0], errors
    assert list((tmp_path / "home").iterdir()) == []


def test_place_last_board_removes_what_another_one_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "new" / "root"
    bases = {}
    for name in ("first-00000001", "second-00000002"):
        monkeypatch.setattr(place, "board_id", lambda name=name: name)
        bases[name] = place.base_of(str(root))
        place.make(bases[name], False)
    place.drop(bases["first-00000001"])
    assert bases["second-00000002"].is_dir()
    place.drop(bases["second-00000002"])
    assert list(tmp_path.iterdir()) == []


def test_place_folder_that_was_there_stays_as_it_was(tmp_path: Path) -> None:
    base = place.base_of(str(tmp_path / "theirs"))
    base.parent.mkdir()
    place.make(base, False)
    place.drop(base)
    assert list(base.parent.iterdir()) == []
