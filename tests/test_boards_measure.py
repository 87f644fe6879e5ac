"""Measuring this machine: that the numbers are of the right thing. How large they are is not tested."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boards import load
from boards.dump import to_toml
from edge_runtime.errors import BoardError, CodecError, LpcError
from edge_runtime.machine import measure

MIB = 1 << 20


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measure") / "data"
    path.write_bytes(os.urandom(8 * MIB))
    return path


def test_memory_read_gives_a_rate() -> None:
    assert measure.memory_read(1, 0.02, 8 * MIB) > 1e6
    assert measure.memory_read(0, 0.02, 8 * MIB) > 1e6


@pytest.mark.parametrize(("size", "seconds"), [(MIB - 1, 0.1), (MIB, 0.0), (MIB, -1.0), (MIB, float("nan"))])
def test_memory_read_argument_out_of_range_is_refused(size: int, seconds: float) -> None:
    with pytest.raises(CodecError, match=r"(bytes|seconds): got"):
        measure.memory_read(1, seconds, size)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("depth", [1, 4])
def test_file_read_gives_a_rate_or_says_that_direct_is_refused(file: Path, direct: bool, depth: int) -> None:
    rate = measure.file_read(file, 64 << 10, depth, direct=direct, seconds=0.05, offset=3 * MIB)
    assert (rate is None and direct) or (rate is not None and rate > 1e4)


@pytest.mark.parametrize(
    ("block", "depth", "seconds"),
    [(0, 1, 0.1), (5000, 1, 0.1), (128 * MIB, 1, 0.1), (4096, 0, 0.1), (4096, 257, 0.1), (4096, 1, 0.0)],
)
def test_file_read_argument_out_of_range_is_refused(file: Path, block: int, depth: int, seconds: float) -> None:
    with pytest.raises(CodecError, match="got"):
        measure.file_read(file, block, depth, direct=False, seconds=seconds)


def test_file_read_file_smaller_than_a_block_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 5000)
    with pytest.raises(CodecError, match="has 5000 bytes"):
        measure.file_read(tmp_path / "small", 64 << 10, 1, direct=False, seconds=0.1)


def test_file_read_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LpcError, match="nowhere"):
        measure.file_read(tmp_path / "nowhere", 4096, 1, direct=False, seconds=0.1)


def test_file_read_folder_is_an_error_not_a_rate(tmp_path: Path) -> None:
    with pytest.raises(LpcError):
        measure.file_read(tmp_path, 4096, 1, direct=False, seconds=0.1)


@pytest.mark.parametrize("codec", ["stored", "lz4"])
def test_decode_rate_gives_a_rate(codec: str) -> None:
    assert measure.decode_rate(codec, 1, 0.02, MIB) > 1e5


def quick(folder: Path, **changes: object) -> measure.Settings:
    values = {
        "folder": folder,
        "seconds": 0.05,
        "file_bytes": 16 * MIB,
        "memory_bytes": 8 * MIB,
        "decoded_bytes": MIB,
        "blocks": (MIB,),
        "queue_depths": (2,),
    }
    return measure.Settings(**{**values, **changes})  # type: ignore[arg-type]


def test_measure_writes_a_profile_that_loads(tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    profile = measure.measure(quick(tmp_path), lambda *step: steps.append(step))
    (tmp_path / "here.toml").write_text(to_toml(profile), encoding="utf-8")
    again = load(tmp_path / "here.toml")
    assert again.figures == profile.figures
    assert {figure.kind for name in ("memory.cpu_read", "decode.rates") for figure in again.all(name)} == {"measured"}
    assert any(not figure.details["direct"] for figure in again.all("storage.disk.read"))
    assert {"stored", "lz4"} <= {figure.details["codec"] for figure in again.all("decode.rates")}
    assert [step[0] for step in steps if "writing" not in step[2]] == list(range(1, steps[0][1] + 1))
    assert [path.name for path in tmp_path.iterdir()] == ["here.toml"]  # no temporary file is left


def test_measure_interrupted_leaves_no_file(tmp_path: Path) -> None:
    def stop(done: int, total: int, text: str) -> None:
        if "read," in text and "memory" not in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure.measure(quick(tmp_path), stop)
    assert list(tmp_path.iterdir()) == []


def test_measure_given_file_is_read_and_kept(file: Path, tmp_path: Path) -> None:
    profile = measure.measure(quick(tmp_path, file=file), lambda *step: None)
    assert profile.all("storage.disk.read")
    assert file.stat().st_size == 8 * MIB
    assert list(tmp_path.iterdir()) == []


def test_measure_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="is no file"):
        measure.measure(quick(tmp_path, file=tmp_path / "none"), lambda *step: None)


def test_measure_full_storage_is_said_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_ROOM", 1 << 60)
    with pytest.raises(BoardError, match=r"[MGT]B are free"):
        measure.measure(quick(tmp_path), lambda *step: None)
