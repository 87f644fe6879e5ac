"""Where an export writes: what is a user's survives, whatever it is called and wherever OUT leads."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoints import load, write_llama

from edge_runtime.errors import ExportError
from exporters import frontier
from exporters.export import ExportOptions, export
from exporters.folders import working
from exporters.folders.working import MARK
from exporters.frontier import Candidate
from exporters.package import weight_writer
from exporters.package.codec_choice import CodecChoice
from exporters.package.verify import verify
from exporters.transforms.options import LossyOptions

NOTES = "three days of work"
FORCE = ExportOptions(codec=CodecChoice("stored"), force=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("places") / "model", hidden_size=64, intermediate_size=96)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def owned(folder: Path) -> Path:
    """Make a folder of a user's."""
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text(NOTES)
    return folder


def is_whole(folder: Path, codec: str = "stored") -> bool:
    return verify(folder) == 16 and load(folder)[0]["tensors"][0]["codec"] == codec


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupted(model: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let an export fail near its end; return its working folder."""

    def fail(self: weight_writer.WeightWriter) -> None:
        raise ExportError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(weight_writer.WeightWriter, "_place", fail)
        with pytest.raises(ExportError, match="is kept in"):
            export(model, out, ExportOptions(codec=CodecChoice("stored")))
    return next(path for path in out.parent.iterdir() if (path / MARK).is_file())


@pytest.mark.parametrize("suffix", ["partial", "partial-2", "replaced", "replaced-1", "reference", "trial"])
@pytest.mark.parametrize("lossy", [None, LossyOptions(quantize=True, measure=False, scaling=False, compensate=False)])
def test_folders_of_a_users_beside_out_are_left_alone(
    model: Path, out: Path, suffix: str, lossy: LossyOptions | None, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = owned(out.with_name(f"out.{suffix}"))
    export(model, out, ExportOptions(codec=CodecChoice("stored"), lossy=lossy))
    export(model, out, ExportOptions(codec=CodecChoice("stored"), force=True))
    assert is_whole(out)
    assert (mine / "notes.txt").read_text() == NOTES
    assert names(out.parent) == sorted(["out", mine.name])
    assert ("out.partial: is not of lpc-export: left alone" in capsys.readouterr().err) == (suffix == "partial")


def test_exported_folder_that_is_called_like_a_working_one_is_left_alone(model: Path, out: Path) -> None:
    mine = out.with_name("out.partial")
    export(model, mine)
    export(model, out, ExportOptions(codec=CodecChoice("stored")))
    assert is_whole(mine, "lz4")
    assert is_whole(out)


@pytest.mark.parametrize("case", ["empty", "file", "link", "link_to_a_mark", "mark_that_is_a_link", "mark_of_another"])
def test_only_a_real_folder_with_a_real_mark_is_taken_over(
    model: Path, out: Path, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, other = out.with_name("out.partial"), owned(tmp_path / "far" / "other")
    shutil.copy(interrupted(model, tmp_path / "unfinished" / "x", monkeypatch) / MARK, other)
    if case == "empty":
        partial.mkdir()
    elif case == "file":
        partial.write_text(NOTES)
    elif case == "link":
        partial.symlink_to(owned(tmp_path / "far" / "plain"))
    elif case == "link_to_a_mark":
        partial.symlink_to(other)
    elif case == "mark_that_is_a_link":
        owned(partial)
        (partial / MARK).symlink_to(other / MARK)
    else:
        owned(partial)
        (partial / MARK).write_text('{"format": "of another tool", "options": {}, "inputs": {}}')
    before = partial.lstat()
    export(model, out, ExportOptions(codec=CodecChoice("stored")))
    assert is_whole(out)
    assert os.path.samestat(partial.lstat(), before)
    assert (other / "notes.txt").read_text() == NOTES
    assert case in ("empty", "file") or (partial / "notes.txt").read_text() == NOTES


def test_links_inside_a_working_folder_are_not_followed(
    model: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, partial = owned(tmp_path / "mine"), interrupted(model, out, monkeypatch)
    shutil.rmtree(partial / "package")
    (partial / "package").symlink_to(mine)
    (partial / "replaced").symlink_to(mine)
    (partial / "trial").symlink_to(mine)
    export(model, out, ExportOptions(codec=CodecChoice("stored")))
    assert is_whole(out)
    assert names(mine) == ["notes.txt"]
    assert names(tmp_path) == ["mine", "out"]


def test_what_a_user_put_into_a_working_folder_stays(
    model: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = interrupted(model, out, monkeypatch)
    (partial / "notes.txt").write_text(NOTES)
    export(model, out, ExportOptions(codec=CodecChoice("stored")))
    assert is_whole(out)
    assert names(partial) == ["notes.txt"]
    assert "holds notes.txt, which lpc-export did not write: left there" in capsys.readouterr().err


def test_out_that_is_a_link_is_written_through(model: Path, out: Path, tmp_path: Path) -> None:
    target = tmp_path / "big disk" / "models" / "llama"
    out.symlink_to(target)
    assert export(model, out, ExportOptions(codec=CodecChoice("lz4"))).out == out
    assert out.is_symlink()
    assert is_whole(target, "lz4")
    with pytest.raises(ExportError, match="out: exists already"):
        export(model, out)
    export(model, out, FORCE)
    assert out.is_symlink()
    assert is_whole(target)
    assert names(target.parent) == ["llama"]
    assert names(tmp_path) == ["big disk", "out"]


def test_out_that_is_a_link_to_an_empty_folder_is_written_through(model: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    out.symlink_to("target")
    export(model, out, FORCE)
    assert is_whole(tmp_path / "target")
    assert out.is_symlink()


@pytest.mark.parametrize("force", [False, True])
def test_out_that_is_a_link_to_a_users_folder_is_refused(model: Path, out: Path, tmp_path: Path, force: bool) -> None:
    mine = owned(tmp_path / "thesis")
    out.symlink_to(mine)
    with pytest.raises(ExportError, match=r"out: (exists already|is not an exported folder)"):
        export(model, out, ExportOptions(force=force))
    assert (mine / "notes.txt").read_text() == NOTES


def test_out_that_is_a_link_to_itself_is_refused(model: Path, out: Path) -> None:
    out.symlink_to("out")
    with pytest.raises(ExportError, match="out: is a symbolic link that leads back to itself"):
        export(model, out, FORCE)


@pytest.mark.parametrize("name", ["notes.txt", ".git", "tokenizer.model"])
def test_force_on_an_exported_folder_with_something_of_a_users_is_refused(model: Path, out: Path, name: str) -> None:
    export(model, out)
    owned(out / name) if name != "notes.txt" else (out / name).write_text(NOTES)
    with pytest.raises(ExportError, match=f"out: holds {name}, which lpc-export did not write and --force would"):
        export(model, out, FORCE)
    assert is_whole(out, "lz4")
    assert (out / name / "notes.txt" if name != "notes.txt" else out / name).read_text() == NOTES


def test_force_when_a_user_adds_something_meanwhile_is_refused_and_keeps_both(
    model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(model, out)
    place = weight_writer.WeightWriter._place

    def add(self: weight_writer.WeightWriter) -> None:
        (out / "notes.txt").write_text(NOTES)
        place(self)

    with monkeypatch.context() as patch:
        patch.setattr(weight_writer.WeightWriter, "_place", add)
        with pytest.raises(ExportError, match=r"holds notes.txt.*what is finished is kept in"):
            export(model, out, FORCE)
    assert is_whole(out, "lz4")
    (out / "notes.txt").rename(out.with_name("notes.txt"))
    assert export(model, out, FORCE).resumed == 16
    assert is_whole(out)


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_out_that_is_no_folder_is_refused(model: Path, out: Path, kind: str) -> None:
    if kind == "file":
        out.write_text(NOTES)
    else:
        os.mkfifo(out)
    for force in (False, True):
        with pytest.raises(ExportError, match=r"out: (exists already|is not an exported folder)"):
            export(model, out, ExportOptions(force=force))
    assert names(out.parent) == ["out"]


@pytest.fixture
def mounted(out: Path) -> Iterator[Path]:
    out.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", out], capture_output=True).returncode:
        pytest.skip("may not mount")
    yield out
    subprocess.run(["umount", out], check=True)


def test_out_that_is_a_mount_point_is_refused_and_a_folder_in_it_works(model: Path, mounted: Path) -> None:
    with pytest.raises(ExportError, match="out: is a mount point, which cannot be replaced; choose a folder inside it"):
        export(model, mounted, FORCE)
    with pytest.raises(ExportError, match=r"out: 8\.\d\d MB free, expected at least [\d.]+ MB for this model"):
        export(model, mounted / "llama", FORCE)
    assert names(mounted) == []


def test_out_where_nothing_can_be_written_is_one_error(model: Path) -> None:
    with pytest.raises(ExportError, match=r"/proc/self/out: cannot be written \(.*choose another place"):
        export(model, "/proc/self/out")


@pytest.mark.parametrize("name", ["n" * 255, "\u00e9" * 127, "n" * 248])
def test_out_with_a_name_as_long_as_the_system_takes_is_written_and_replaced(
    model: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / name
    assert len(os.fsencode(interrupted(model, out, monkeypatch).name)) <= 255
    assert export(model, out, ExportOptions(codec=CodecChoice("stored"))).resumed == 16
    export(model, out, FORCE)
    assert is_whole(out)
    assert names(tmp_path) == [name]


def test_out_whose_parent_vanishes_meanwhile_is_one_error(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = weight_writer.WeightWriter._place

    def vanish(self: weight_writer.WeightWriter) -> None:
        shutil.rmtree(tmp_path / "parent")
        place(self)

    monkeypatch.setattr(weight_writer.WeightWriter, "_place", vanish)
    with pytest.raises(ExportError, match=r"parent/out: cannot be written \(No such file or directory\)"):
        export(model, tmp_path / "parent" / "out")


def test_two_exports_to_one_place_do_not_mix(model: Path, out: Path) -> None:
    work = working.claim(out, {"options": {}, "inputs": {}})
    with pytest.raises(ExportError, match=r"out\.partial: another export is writing here"):
        export(model, out)
    work.close()
    export(model, out, ExportOptions(codec=CodecChoice("stored")))
    assert is_whole(out)


def test_out_with_every_working_name_taken_is_refused(model: Path, out: Path) -> None:
    taken = [owned(path) for path in working.candidates(out)]
    with pytest.raises(ExportError, match=r"out\.partial and eight like it are taken"):
        export(model, out)
    assert all((path / "notes.txt").read_text() == NOTES for path in taken)


def test_frontier_leaves_folders_of_a_users_alone_and_clears_what_a_killed_one_left(
    model: Path, tmp_path: Path
) -> None:
    mine = [owned(tmp_path / name) for name in ("out.trial", "out.reference", ".lpc-0123456789abcdef", ".lpc-mine")]
    (tmp_path / ".lpc-fedcba9876543210").mkdir()
    left = working.claim(tmp_path / "killed", {"options": {}, "inputs": {}})
    left.path.rename(tmp_path / ".lpc-00000000ffffffff")
    left.close()
    base = LossyOptions(scaling=False, compensate=False, measure=False)
    found = frontier.frontier(model, tmp_path, base, None, ExportOptions(), [Candidate("ans", CodecChoice("ans"))])
    assert [point.name for _, point in found] == ["ans"]
    assert names(tmp_path) == sorted(path.name for path in mine)
    assert all((path / "notes.txt").read_text() == NOTES for path in mine)
