"""A killed export goes on where it was, and its result is the same, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoints import damage, write_llama
from test_export_cli import environment

from edge_runtime.errors import ExportError
from exporters import weight_writer
from exporters.export import ExportOptions, export
from exporters.staging import JOURNAL
from exporters.transforms.options import LossyOptions
from exporters.transforms.prune import Pruning

# Notes every weight at once, and says so: a kill then finds some of them finished.
STEP_BY_STEP = """
import sys, time
from exporters import weight_writer
weight_writer._SYNC_BYTES = 1
add = weight_writer.journal.Journal.add
def slow(self, records):
    add(self, records)
    print("noted", flush=True)
    time.sleep(0.2)
weight_writer.journal.Journal.add = slow
from exporters.cli import main
main()
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill_after(model: Path, out: Path, weights: int, *options: str) -> Path:
    """Export, kill the process with SIGKILL once so many weights are noted, and return what it left."""
    command = [sys.executable, "-c", STEP_BY_STEP, str(model), "-o", str(out), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        for _ in range(weights):
            assert process.stdout.readline() == "noted\n"
        process.kill()
        process.communicate(timeout=30)
    assert process.returncode == -9
    assert not out.exists()
    return out.with_name(f"{out.name}.partial")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "model")


def test_killed_export_goes_on_and_is_byte_identical(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "whole")
    out = tmp_path / "out"
    partial = kill_after(model, out, 5)
    assert len((partial / JOURNAL).read_text().splitlines()) >= 6
    result = export(model, out)
    assert 5 <= result.resumed < result.tensors == 16
    assert contents(out) == contents(tmp_path / "whole")
    assert not partial.exists()


def test_killed_export_twice_goes_on_and_is_byte_identical(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "whole")
    out = tmp_path / "out"
    kill_after(model, out, 3)
    kill_after(model, out, 3)
    result = export(model, out)
    assert result.resumed >= 6
    assert contents(out) == contents(tmp_path / "whole")


def test_resumed_export_checks_what_it_finds(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "whole")
    out = tmp_path / "out"
    partial = kill_after(model, out, 5)
    third = json.loads((partial / JOURNAL).read_text().splitlines()[3])["extent"]
    damage(partial / "model.lpc", third["offset"] + third["length"] // 2)
    assert export(model, out).resumed == 2
    assert contents(out) == contents(tmp_path / "whole")


def test_journal_cut_short_counts_up_to_the_cut(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "whole")
    out = tmp_path / "out"
    partial = kill_after(model, out, 5)
    journal = (partial / JOURNAL).read_bytes()
    (partial / JOURNAL).write_bytes(b"\n".join(journal.split(b"\n")[:3]) + b"\n" + journal.split(b"\n")[3][:20])
    assert export(model, out).resumed == 2
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", ["weights", "codec", "data_file_gone"])
def test_export_of_something_else_starts_anew(model: Path, tmp_path: Path, change: str) -> None:
    out = tmp_path / "out"
    partial = kill_after(model, out, 3)
    options = ExportOptions(codec="stored" if change == "codec" else "auto")
    if change == "weights":
        write_llama(model, seed=7)
    if change == "data_file_gone":
        (partial / "model.lpc").unlink()
    result = export(model, out, options)
    assert result.resumed == 0
    export(model, tmp_path / "whole", options)
    assert contents(out) == contents(tmp_path / "whole")


def test_failed_export_leaves_nothing_to_resume(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: weight_writer.WeightWriter) -> None:
        raise ExportError("the disk is gone")

    monkeypatch.setattr(weight_writer.WeightWriter, "_place", fail)
    with pytest.raises(ExportError, match="the disk is gone"):
        export(model, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A model whose matrices are large enough to be quantized."""
    return write_llama(tmp_path / "large", hidden_size=64, intermediate_size=96)


@pytest.fixture
def lossy(large: Path, tmp_path: Path) -> LossyOptions:
    """All passes, with compensation; see ASKED."""
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a little cat. " * 40, encoding="utf-8")
    export(large, tmp_path / "reference", ExportOptions(codec="stored"))
    return LossyOptions(
        quantize=True, granularity="group:32", pruning=Pruning(0.4), calibration=text,
        reference=tmp_path / "reference", measure=False,
    )  # fmt: skip


ASKED = ("--codec", "ans", "--quantize", "int8", "--granularity", "group:32", "--prune", "0.4", "--no-loss")


def kill_lossy(large: Path, out: Path, weights: int, lossy: LossyOptions) -> Path:
    files = ("--calibration", str(lossy.calibration), "--reference", str(lossy.reference))
    return kill_after(large, out, weights, *ASKED, *files)


def test_killed_lossy_export_goes_on_and_is_byte_identical(large: Path, lossy: LossyOptions, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ExportOptions(codec="ans", lossy=lossy)
    kill_lossy(large, out, 7, lossy)
    result = export(large, out, options)
    assert 7 <= result.resumed < result.tensors == 16
    whole = export(large, tmp_path / "whole", options)
    assert result.passes == whole.passes
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize(("change", "kept"), [("text", 0), ("sparsity", 0), ("scales", 4)])
def test_lossy_export_of_something_else_starts_anew(
    large: Path, lossy: LossyOptions, tmp_path: Path, change: str, kept: int
) -> None:
    out = tmp_path / "out"
    partial = kill_lossy(large, out, 5, lossy)
    if change == "text":
        assert lossy.calibration is not None
        lossy.calibration.write_text("A dog sat in the sun. " * 80, encoding="utf-8")
    if change == "sparsity":
        lossy = replace(lossy, pruning=Pruning(0.3))
    if change == "scales":
        lines = (partial / JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True)
        damaged = json.loads(lines[5])
        damaged["found"]["scales"] = damaged["found"]["scales"][:16]
        (partial / JOURNAL).write_text("".join([*lines[:5], json.dumps(damaged) + "\n", *lines[6:]]), encoding="utf-8")
    options = ExportOptions(codec="ans", lossy=lossy)
    assert export(large, out, options).resumed == kept
    export(large, tmp_path / "whole", options)
    assert contents(out) == contents(tmp_path / "whole")
