"""An export is whole or absent, replaces nothing by accident, and its verification means something."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkpoints import CONFIG, damage, load, random_tensors, write_llama, write_safetensors

from edge_runtime.errors import ExportError, FormatError
from exporters.export import ExportOptions, export
from exporters.package import blob_writer, disk_room, weight_writer
from exporters.package.codec_choice import CodecChoice
from exporters.package.verify import verify
from exporters.planning.sources import open_plan


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "model")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_verify_of_flipped_bit_names_file_and_tensor(model: Path, out: Path) -> None:
    export(model, out)
    assert verify(out) == 16
    tensor = load(out)[0]["tensors"][5]
    damage(out / "model.lpc", tensor["offset"] + tensor["bytes"] // 2)
    with pytest.raises(FormatError, match=f"model.lpc: {tensor['name']} at byte {tensor['offset']}: .*export again"):
        verify(out)


def test_verify_of_another_valid_blob_is_found_by_hash(model: Path, out: Path) -> None:
    export(model, out, ExportOptions(codec=CodecChoice("stored")))
    manifest, _, data = load(out)
    first, second = (
        next(t for t in manifest["tensors"] if t["name"].endswith(f"{i}.mlp.up_proj.weight")) for i in (0, 1)
    )
    changed = bytearray(data)
    blob = data[second["offset"] : second["offset"] + second["bytes"]]
    changed[first["offset"] : first["offset"] + first["bytes"]] = blob
    (out / "model.lpc").write_bytes(changed)
    with pytest.raises(ExportError, match=f"{first['name']} .* has hash .*, expected the source's"):
        verify(out)


def test_export_on_a_disk_that_garbles_fails_and_keeps_what_is_finished(
    model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, garbled = blob_writer.BlobWriter._write, []

    def garble(self: blob_writer.BlobWriter, data: bytes | memoryview) -> None:
        changed = bytearray(data)
        if len(changed) > 3000 and not garbled:
            changed[2000] ^= 1
            garbled.append(changed)
        write(self, bytes(changed))

    with monkeypatch.context() as patch:
        patch.setattr(blob_writer.BlobWriter, "_write", garble)
        with pytest.raises(
            FormatError, match=r"model\.embed_tokens\.weight.*kept in .*partial: the same command goes on"
        ):
            export(model, out)
    assert sorted(path.name for path in out.parent.iterdir()) == ["model", "out.partial"]
    assert export(model, out).resumed == 15
    assert verify(out) == 16


@pytest.mark.parametrize("when", ["_write", "sync"])
def test_export_on_a_full_disk_fails_and_leaves_nothing_of_no_use(
    model: Path, out: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def full(self: blob_writer.BlobWriter, *data: bytes | memoryview) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(weight_writer, "_SYNC_BYTES", 1)
    monkeypatch.setattr(blob_writer.BlobWriter, when, full)
    with pytest.raises(ExportError, match="out: cannot be written \\(No space left on device\\)"):
        export(model, out)
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_export_without_room_is_refused_before_it_starts(
    model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(out.parent)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ExportError, match=r"1\.\d\d MB free, expected at least .* make room"):
        export(model, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("case", "part"), [("dense", 0.6), ("float32", 0.3), ("pruned", 0.1), ("stored", 1.0), ("rounded", 0.6)]
)
def test_room_that_is_asked_for_is_never_more_than_what_is_written(tmp_path: Path, case: str, part: float) -> None:
    codec = {"stored": "stored", "pruned": "bitmap:ans"}.get(case, "ans")
    model = write_llama(tmp_path / "model", dtype="F32" if case in ("float32", "rounded") else "BF16")
    if case == "pruned":
        tensors = {name: array * (np.arange(array.size).reshape(array.shape) % 8 == 0)
                   for name, array in random_tensors(CONFIG).items()}  # fmt: skip
        write_safetensors(model / "model.safetensors", tensors)
    dtype = "bf16" if case == "rounded" else "keep"
    plan = open_plan(model, dtype)
    least = disk_room.least_bytes(plan, CodecChoice.parse(codec), dtype)
    stored = sum(plan.tensors.tensors[name].nbytes for name in plan.graph.weights) // (2 if case == "rounded" else 1)
    plan.tensors.close()
    assert least - 4096 * len(plan.graph.weights) == pytest.approx(part * stored, rel=0.01)
    assert (
        least - 4096 * len(plan.graph.weights)
        <= export(model, tmp_path / "out", ExportOptions(CodecChoice.parse(codec), dtype)).blob_bytes
    )


def test_export_to_existing_folder_needs_force(model: Path, out: Path) -> None:
    export(model, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ExportError, match=r"out: exists already; .*--force"):
        export(model, out, ExportOptions(codec=CodecChoice("stored")))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    export(model, out, ExportOptions(codec=CodecChoice("stored"), force=True))
    assert load(out)[0]["tensors"][0]["codec"] == "stored"
    assert sorted(path.name for path in out.parent.iterdir()) == ["model", "out"]


def test_force_does_not_replace_what_is_no_export(model: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="is not an exported folder, so --force does not replace it"):
        export(model, out, ExportOptions(force=True))
    assert (out / "thesis.tex").read_text() == "years of work"
    with pytest.raises(ExportError, match="is not an exported folder"):
        export(model, model, ExportOptions(force=True))


def test_failed_forced_export_keeps_the_old_one(model: Path, out: Path) -> None:
    export(model, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (model / "model.safetensors").write_bytes(b"")
    with pytest.raises(FormatError):
        export(model, out, ExportOptions(force=True))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_export_below_a_file_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"file/out: .*/file is a file, expected a folder"):
        export(model, tmp_path / "file" / "out")


def test_export_to_relative_path_with_slash_works(model: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out.parent)
    assert export("model/", "deep/er/out/").out == out.parent / "deep/er/out"
