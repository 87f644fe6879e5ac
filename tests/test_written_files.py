"""Files that commands write for people: the old one or the whole new one, and never into what is no file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from real_models import ROOT, ExportModel, RunPython

from edge_runtime.cli.options import check_place
from edge_runtime.io.files import write_whole
from edge_runtime.session import load

WRITE = """import sys
from edge_runtime.io.files import write_whole
print("before", flush=True)
write_whole(*sys.argv[1:])"""


def test_write_whole_makes_or_replaces_a_file_and_keeps_its_rights(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    write_whole(file, "Größe")
    assert file.read_text(encoding="utf-8") == "Größe"
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask()
    file.chmod(0o600)
    write_whole(str(file), "two")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"two", 0o600)
    assert os.listdir(tmp_path) == ["page.html"]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_write_whole_through_a_link_writes_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/file")
    for text in ("new", "again"):
        write_whole(tmp_path / "link", text)
        assert (tmp_path / "far/file").read_text(encoding="utf-8") == text
    assert (tmp_path / "link").is_symlink()


def test_write_whole_that_fails_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("precious", encoding="utf-8")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/file'"):
        write_whole(file, "new")
    assert file.read_text(encoding="utf-8") == "precious"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("make", "what"),
    [(os.mkfifo, "a named pipe"), (Path.mkdir, "a folder"), (lambda path: path.symlink_to("/dev/full"), "a device")],
)
def test_write_whole_into_what_is_no_file_is_refused_without_waiting(
    tmp_path: Path, make: Callable[[Path], Any], what: str
) -> None:
    make(tmp_path / "place")
    with pytest.raises(OSError, match=f"is {what}, expected a regular file"):
        write_whole(tmp_path / "place", "x")
    if what != "a folder":
        with pytest.raises(click.UsageError, match=f"-o .*place: is {what}"):
            check_place("-o", tmp_path / "place")


def test_write_whole_to_a_stream_of_this_process_appends_to_it(tmp_path: Path, run_python: RunPython) -> None:
    for place in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        assert run_python(WRITE, place, "text").stdout == "before\ntext"
    with (tmp_path / "out").open("w+b") as out:
        subprocess.run([sys.executable, "-c", WRITE, "/dev/stdout", "text"], stdout=out, cwd=ROOT, check=True)
    assert (tmp_path / "out").read_bytes() == b"before\ntext"
    write_whole("/dev/null", "x")


def test_trace_of_a_model_that_is_not_loaded_leaves_the_file_alone(export_model: ExportModel, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text("precious", encoding="utf-8")
    folder = export_model("demo_model", "lz4")
    with pytest.raises(Exception, match="read_mode"):
        load(folder, trace=trace, read_mode="sideways")
    model = load(folder, trace=trace)
    assert trace.read_text(encoding="utf-8") == "precious"
    for _ in model.generate("Once", greedy=True, max_new_tokens=2):
        pass
    assert trace.read_text(encoding="utf-8") == "precious"
    del model
    assert trace.read_text(encoding="utf-8").startswith('{"displayTimeUnit"')
    assert os.listdir(tmp_path) == ["trace.json"]


def test_trace_into_a_pipe_is_refused(export_model: ExportModel, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Exception, match="cannot write the trace here: expected a regular file"):
        load(export_model("demo_model", "lz4"), trace=tmp_path / "pipe")
