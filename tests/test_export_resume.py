"""An export that was killed, interrupted or failed goes on where it was, and its result is the same, byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoints import CONFIG, damage, random_tensors, write_llama, write_safetensors
from test_export_cli import environment

from edge_runtime.errors import ExportError
from exporters.export import ExportOptions, export
from exporters.folders.working import JOURNAL
from exporters.package import weight_writer
from exporters.package.codec_choice import CodecChoice
from exporters.package.verify import verify_against
from exporters.transforms.options import LossyOptions
from exporters.transforms.prune import Pruning

# Notes every weight at once, and says so: a kill then finds some of them finished.
STEP_BY_STEP = """
import sys, time
from exporters.package import weight_writer
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


def test_resumed_export_makes_only_what_is_damaged_anew(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "whole")
    out = tmp_path / "out"
    partial = kill_after(model, out, 5)
    lines = (partial / JOURNAL).read_text().splitlines()
    third = json.loads(lines[3])["extent"]
    damage(partial / "package" / "model.lpc", third["offset"] + third["length"] // 2)
    assert export(model, out).resumed == len(lines) - 2
    assert contents(out) == contents(tmp_path / "whole")


def test_journal_cut_short_counts_up_to_the_cut(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "whole")
    out = tmp_path / "out"
    partial = kill_after(model, out, 5)
    journal = (partial / JOURNAL).read_bytes()
    (partial / JOURNAL).write_bytes(b"\n".join(journal.split(b"\n")[:3]) + b"\n" + journal.split(b"\n")[3][:20])
    assert export(model, out).resumed == 2
    assert contents(out) == contents(tmp_path / "whole")


def test_resumed_export_without_its_data_file_starts_anew(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (kill_after(model, out, 3) / "package" / "model.lpc").unlink()
    assert export(model, out).resumed == 0
    export(model, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_resumed_export_of_changed_weights_takes_none_of_the_old_ones(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "out", model / "model.safetensors"
    kill_after(model, out, 3)
    state = file.stat()
    write_llama(model, seed=7)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file.stat().st_size == state.st_size
    assert export(model, out).resumed == 0
    assert "model.embed_tokens.weight has changed since the export was begun" in capsys.readouterr().err
    export(model, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_resumed_export_of_one_changed_weight_keeps_the_others(model: Path, tmp_path: Path) -> None:
    out, file, changed = tmp_path / "out", model / "model.safetensors", "model.layers.0.self_attn.q_proj.weight"
    options = ExportOptions(codec=CodecChoice("stored"))
    partial = kill_after(model, out, 7, "--codec", "stored")
    names = [json.loads(line)["name"] for line in (partial / JOURNAL).read_text().splitlines()[1:]]
    assert changed in names
    tensors = random_tensors(CONFIG)
    write_safetensors(file, {**tensors, changed: -tensors[changed]})
    assert export(model, out, options).resumed == len(names) - 1
    export(model, tmp_path / "whole", options)
    assert contents(out) == contents(tmp_path / "whole")


def test_resumed_export_takes_the_configuration_and_tokenizer_that_are_there_now(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kill_after(model, out, 3)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"rope_theta": 5e5}))
    (model / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    assert export(model, out).resumed >= 3
    export(model, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("other", ["codec", "model"])
def test_another_export_to_the_place_of_an_unfinished_one_is_refused(model: Path, tmp_path: Path, other: str) -> None:
    export(model, tmp_path / "whole")
    out = tmp_path / "out"
    partial = kill_after(model, out, 3)
    before = contents(partial / "package")
    source, options = model, ExportOptions(codec=CodecChoice("stored" if other == "codec" else "auto"))
    if other == "model":
        source = write_llama(tmp_path / "other", seed=7)
    what = "codec auto:bus \\(now stored\\)" if other == "codec" else " of model .*/model, where "
    with pytest.raises(ExportError, match=f"partial: holds what is finished of an export.*{what}.*--restart"):
        export(source, out, options)
    assert contents(partial / "package") == before
    assert export(model, out).resumed >= 3
    assert contents(out) == contents(tmp_path / "whole")


def test_restart_drops_what_is_unfinished(model: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ExportOptions(codec=CodecChoice("stored"))
    kill_after(model, out, 3)
    assert export(model, out, replace(options, restart=True)).resumed == 0
    export(model, tmp_path / "whole", options)
    assert contents(out) == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out", "whole"]


def test_export_of_a_moved_source_goes_on(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kill_after(model, out, 3)
    model = model.rename(tmp_path / "elsewhere")
    assert export(model, out).resumed >= 3
    assert verify_against(out, str(model)) == 16


def test_failed_export_keeps_what_is_finished(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(model, tmp_path / "whole")
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(weight_writer.WeightWriter, "_place", fail)
        with pytest.raises(
            ExportError, match=r"the disk is gone; what is finished is kept in .*out\.partial: the same"
        ):
            export(model, out)
    assert export(model, out).resumed == 16
    assert contents(out) == contents(tmp_path / "whole")


def fail(*args: object) -> None:
    raise ExportError("the disk is gone")


def test_export_that_fails_before_a_weight_is_finished_leaves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_writer.WeightWriter, "run", fail)
    with pytest.raises(ExportError, match=r"the disk is gone$"):
        export(model, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


LARGE_SIZES = {"hidden_size": 64, "intermediate_size": 96}
LARGE = {**CONFIG, **LARGE_SIZES}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A model whose matrices are large enough to be quantized."""
    return write_llama(tmp_path / "large", **LARGE_SIZES)


@pytest.fixture
def lossy(large: Path, tmp_path: Path) -> LossyOptions:
    """All passes, with compensation; see ASKED."""
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a little cat. " * 40, encoding="utf-8")
    export(large, tmp_path / "reference", ExportOptions(codec=CodecChoice("stored")))
    return LossyOptions(
        quantize=True, granularity="group:32", pruning=Pruning(0.4), calibration=text,
        reference=tmp_path / "reference", measure=False,
    )  # fmt: skip


ASKED = ("--codec", "ans", "--quantize", "int8", "--granularity", "group:32", "--prune", "0.4", "--no-loss")


def kill_lossy(large: Path, out: Path, weights: int, lossy: LossyOptions) -> Path:
    files = ("--calibration", str(lossy.calibration), "--reference", str(lossy.reference))
    return kill_after(large, out, weights, *ASKED, *files)


def test_killed_lossy_export_goes_on_and_is_byte_identical(large: Path, lossy: LossyOptions, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ExportOptions(codec=CodecChoice("ans"), lossy=lossy)
    kill_lossy(large, out, 7, lossy)
    result = export(large, out, options)
    assert 7 <= result.resumed < result.tensors == 16
    whole = export(large, tmp_path / "whole", options)
    assert result.passes == whole.passes
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", ["text", "last_weight", "scales"])
def test_lossy_export_of_changed_inputs_is_byte_identical_with_a_new_one(
    large: Path, lossy: LossyOptions, tmp_path: Path, change: str
) -> None:
    out = tmp_path / "out"
    partial = kill_lossy(large, out, 5, lossy)
    lines = (partial / JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True)
    kept = 0  # a changed text, and a weight that shifts what is pruned everywhere, change all
    if change == "text":
        assert lossy.calibration is not None
        lossy.calibration.write_text("A dog sat in the sun. " * 80, encoding="utf-8")
    if change == "last_weight":
        tensors = random_tensors(LARGE)
        name = next(name for name in tensors if name.startswith("model.layers.1.mlp.down_proj"))
        write_safetensors(large / "model.safetensors", {**tensors, name: tensors[name] * 2})
        export(large, tmp_path / "reference", ExportOptions(codec=CodecChoice("stored"), force=True))
    if change == "scales":
        damaged = json.loads(lines[5])
        damaged["found"]["scales"] = damaged["found"]["scales"][:16]
        (partial / JOURNAL).write_text("".join([*lines[:5], json.dumps(damaged) + "\n", *lines[6:]]), encoding="utf-8")
        kept = len(lines) - 2
    options = ExportOptions(codec=CodecChoice("ans"), lossy=lossy)
    assert export(large, out, options).resumed == kept
    export(large, tmp_path / "whole", options)
    assert contents(out) == contents(tmp_path / "whole")


def test_lossy_export_with_other_passes_is_refused_and_keeps_what_is_finished(
    large: Path, lossy: LossyOptions, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    kill_lossy(large, out, 5, lossy)
    other = ExportOptions(codec=CodecChoice("ans"), lossy=replace(lossy, pruning=Pruning(0.3)))
    with pytest.raises(ExportError, match=r"an export with pruning .*0.4.*0.3.*--restart"):
        export(large, out, other)
    assert export(large, out, ExportOptions(codec=CodecChoice("ans"), lossy=lossy)).resumed >= 5


def test_reference_of_another_model_is_refused(large: Path, lossy: LossyOptions, tmp_path: Path) -> None:
    other = write_llama(tmp_path / "other", seed=3, hidden_size=64, intermediate_size=96)
    with pytest.raises(ExportError, match=r"reference: .* not made from this .*other"):
        export(other, tmp_path / "out", ExportOptions(codec=CodecChoice("ans"), lossy=lossy))
