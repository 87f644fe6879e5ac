"""Lossy exports of real models: what is written, how it runs, what it says, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import plain_model, random_tensors, write_llama, write_safetensors
from click.testing import CliRunner
from onnx_models import FLOAT, make, node
from real_models import ROOT, RunPython, checkpoint_folder

from edge_runtime.errors import ConfigError, ExportError
from edge_runtime.session import load
from exporters.commands.export import command
from exporters.export import ExportOptions, ExportResult, export
from exporters.package.codec_choice import CodecChoice
from exporters.package.inspect import sheet
from exporters.package.verify import verify_against
from exporters.transforms.options import LossyOptions
from exporters.transforms.prune import Pruning

DEMO = ROOT / "examples" / "demo_model"
TEXT = DEMO / "held_out.txt"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short piece of the held-out text."""
    path = tmp_path_factory.mktemp("text") / "short.txt"
    path.write_text(TEXT.read_text(encoding="utf-8")[:9000], encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "demo"
    export(DEMO, out, ExportOptions(codec=CodecChoice("stored")))
    return out


def lossy(out: Path, text: Path, reference: Path, codec: str = "ans", threads: int = 0, **options: Any) -> ExportResult:
    chosen = LossyOptions(calibration=text, reference=reference, **options)
    return export(DEMO, out, ExportOptions(codec=CodecChoice.parse(codec), lossy=chosen, threads=threads))


def logits(folder: Path, provider: str) -> np.ndarray[Any, Any]:
    model = load(folder, provider=provider)  # type: ignore[arg-type]
    found = model.logits(list(range(3, 60)))
    if provider == "lpc":
        stats = model.stats()
        assert stats is not None
        assert stats.nodes_unclaimed == 0
    return found


@pytest.mark.parametrize("granularity", ["tensor", "row", "group:64"])
def test_int8_export_runs_alike_in_provider_and_fallback(
    tmp_path: Path, text: Path, reference: Path, granularity: str
) -> None:
    result = lossy(tmp_path / "out", text, reference, quantize=True, granularity=granularity)
    assert not result.lossless
    assert result.loss is not None
    assert abs(result.loss["perplexity_change"]["value"]) < 0.01
    assert 0 < result.loss["kl"]["value"] < 0.01
    assert result.loss["kl"]["low"] <= result.loss["kl"]["value"] <= result.loss["kl"]["high"]
    ours, fallback = logits(tmp_path / "out", "lpc"), logits(tmp_path / "out", "cpu")
    # Sums in another order in 36 products one after another.
    np.testing.assert_allclose(ours, fallback, rtol=0, atol=1e-4 * float(np.ptp(fallback)))


def test_pruned_export_has_the_zeros_asked_for_and_runs_alike(tmp_path: Path, text: Path, reference: Path) -> None:
    result = lossy(tmp_path / "out", text, reference, codec="bitmap", pruning=Pruning(0.5))
    report = next(entry for entry in result.passes if entry["pass"] == "prune")
    assert abs(report["zeros"] - 0.5) < 0.01
    assert result.bits_per_weight < 8
    ours, fallback = logits(tmp_path / "out", "lpc"), logits(tmp_path / "out", "cpu")
    np.testing.assert_allclose(ours, fallback, rtol=0, atol=1e-4 * float(np.ptp(fallback)))


def test_pruned_export_is_computed_from_as_stored_with_the_same_logits(
    tmp_path: Path, text: Path, reference: Path
) -> None:
    for codec in ("bitmap", "auto:compute"):
        lossy(tmp_path / codec, text, reference, codec=codec, pruning=Pruning(0.5), measure=False)
    coded, direct = (
        json.loads((tmp_path / codec / "lpc.json").read_text(encoding="utf-8")) for codec in ("bitmap", "auto:compute")
    )
    assert not any("direct" in tensor for tensor in coded["tensors"])
    used = [tensor["name"] for tensor in direct["tensors"] if tensor.get("direct")]
    assert len(used) == 35  # seven products a layer
    for ids in ([3], list(range(3, 60))):
        found = [load(tmp_path / codec).logits(ids).tobytes() for codec in ("bitmap", "auto:compute")]
        assert found[0] == found[1]


def test_target_bits_is_met_and_scaling_and_compensation_lose_less(tmp_path: Path, text: Path, reference: Path) -> None:
    ours = lossy(tmp_path / "ours", text, reference, quantize=True, target_bits=4.5)
    naive = lossy(tmp_path / "naive", text, reference, quantize=True, target_bits=4.5, scaling=False, compensate=False)
    for result in (ours, naive):
        assert result.bits_per_weight < 4.8
    assert ours.loss is not None
    assert naive.loss is not None
    assert ours.loss["kl"]["value"] < naive.loss["kl"]["value"]


def test_max_kl_is_kept_and_uses_fewer_bits(tmp_path: Path, text: Path, reference: Path) -> None:
    result = lossy(tmp_path / "out", text, reference, quantize=True, max_kl=0.02, compensate=False)
    assert result.loss is not None
    assert 0.005 < result.loss["kl"]["value"] <= 0.02
    assert result.bits_per_weight < 6
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_target_that_cannot_be_reached_names_the_nearest(tmp_path: Path, text: Path, reference: Path) -> None:
    with pytest.raises(ExportError, match=r"0.01 bits per weight cannot be reached: the nearest is 0\.\d\d"):
        lossy(tmp_path / "out", text, reference, quantize=True, target_bits=0.01)
    with pytest.raises(ExportError, match=r"1e-09 nats per token cannot be reached: the nearest is \d"):
        lossy(tmp_path / "out", text, reference, quantize=True, max_kl=1e-9, compensate=False)
    assert not any(tmp_path.iterdir())


def test_same_lossy_export_twice_on_other_threads_is_the_same_bytes(
    tmp_path: Path, text: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, threads in enumerate((1, 2)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{number}"))
        lossy(tmp_path / f"out{number}", text, reference, threads=threads, quantize=True, target_bits=5,
              pruning=Pruning(0.3))  # fmt: skip
    for name in ("model.lpc", "model.onnx", "lpc.json"):
        assert (tmp_path / "out0" / name).read_bytes() == (tmp_path / "out1" / name).read_bytes(), name


def test_lossy_export_says_so_in_manifest_inspect_run_and_verify(
    tmp_path: Path, text: Path, reference: Path, lpc_run: RunPython
) -> None:
    out = tmp_path / "out"
    lossy(out, text, reference, quantize=True, compensate=False)
    manifest = json.loads((out / "lpc.json").read_text(encoding="utf-8"))
    assert manifest["lossless"] is False
    assert [entry["pass"] for entry in manifest["lossy"]["passes"]] == ["calibrate", "scale", "quantize"]
    assert manifest["lossy"]["loss"]["tokens"] > 100
    assert "lossy: " in str(sheet(out))
    ran = lpc_run(str(out), "-p", "Once", "-n", "2", "--greedy")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("lpc-run: lossy model: ") == 1
    with pytest.raises(ExportError, match="is lossy"):
        verify_against(out, str(DEMO))


def test_lossy_export_without_text_measures_on_what_the_model_writes(tmp_path: Path, reference: Path) -> None:
    chosen = LossyOptions(quantize=True, reference=reference, compensate=False)
    result = export(DEMO, tmp_path / "out", ExportOptions(lossy=chosen))
    assert result.loss is not None
    assert result.loss["text"] == "written by demo_model"


@pytest.mark.parametrize(("content", "message"), [
    ("", "short.txt: empty; expected"), ("  \n", "empty; expected"), ("A few words.", "tokens; expected a text of"),
    (b"\xff\xfe\x00", "not readable as UTF-8"),
])  # fmt: skip
def test_calibration_text_that_is_unusable_is_an_error(
    tmp_path: Path, reference: Path, content: str | bytes, message: str
) -> None:
    path = tmp_path / "short.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=message):
        lossy(tmp_path / "out", path, reference, quantize=True)
    assert not (tmp_path / "out").exists()


def test_weights_and_activations_that_are_not_finite_are_errors(tmp_path: Path, text: Path) -> None:
    source = write_llama(tmp_path / "source", hidden_size=64, intermediate_size=96)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    tensors = random_tensors(config)
    name = "model.layers.0.mlp.down_proj.weight"
    chosen = ExportOptions(lossy=LossyOptions(quantize=True, calibration=text, measure=False))
    for where, bits in ((name, 0x7FC0), ("model.layers.0.input_layernorm.weight", 0x7F80)):
        changed = {key: value.copy() for key, value in tensors.items()}
        changed[where].reshape(-1).view(np.uint16)[0] = bits
        write_safetensors(source / "model.safetensors", changed)
        with pytest.raises(ExportError, match=r"holds NaN|are not finite on this text"):
            export(source, tmp_path / "out", chosen)
        assert not (tmp_path / "out").exists()


def test_already_quantized_model_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(DEMO, source, ignore=shutil.ignore_patterns("*.txt", "*.py"))
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ExportError, match="quantized already \\(method gptq\\)"):
        export(source, tmp_path / "out", ExportOptions(lossy=LossyOptions(quantize=True)))


def test_exported_folder_is_refused_as_a_source_and_a_lossy_one_as_reference(
    tmp_path: Path, text: Path, reference: Path
) -> None:
    with pytest.raises(ExportError, match="is an exported folder; expected the checkpoint"):
        export(reference, tmp_path / "out", ExportOptions(lossy=LossyOptions(quantize=True)))
    lossy(tmp_path / "int8", text, reference, quantize=True, compensate=False)
    with pytest.raises(ConfigError, match="is lossy itself"):
        lossy(tmp_path / "again", text, tmp_path / "int8", quantize=True)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--prune", "1"], "sparsity is 1; expected"),
    (["--prune", "-0.5"], "sparsity is -0.5; expected"),
    (["--quantize", "int8", "--granularity", "rows"], "granularity is 'rows'; expected"),
    (["--prune", "0.5", "--target-bits", "4"], "needs quantization to int8"),
    (["--calibration", "x.txt"], "--calibration needs --quantize or --prune"),
    (["--quantize", "int8", "--target-bits", "0"], "target bits is 0; expected"),
])  # fmt: skip
def test_cli_wrong_lossy_options_are_usage_errors(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, [str(checkpoint_folder("demo_model")), *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_scaling_leaves_out_what_a_weight_too_small_to_be_rewritten_would_have_to_take(
    tmp_path: Path, text: Path
) -> None:
    # The values' weight of this model has 2,048 elements and stays as it is; its factors would be lost.
    source = checkpoint_folder("stories260k")
    reference = tmp_path / "reference"
    export(source, reference, ExportOptions(codec=CodecChoice("stored")))
    found = []
    for scaling in (True, False):
        chosen = LossyOptions(quantize=True, scaling=scaling, compensate=False, calibration=text, reference=reference)
        result = export(source, tmp_path / f"out{scaling}", ExportOptions(codec=CodecChoice("ans"), lossy=chosen))
        assert result.loss is not None
        found.append(result.loss["kl"]["value"])
    assert found[0] < 2 * found[1]


@pytest.fixture(scope="module")
def onnx_folder(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as another tool would write it: float32 weights, opset 23."""
    folder = tmp_path_factory.mktemp("onnx")
    onnx.save(plain_model(reference), folder / "model.onnx", save_as_external_data=True, location="weights.bin")
    for name in ("genai_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(reference / name, folder / name)
    return folder


@pytest.mark.parametrize("granularity", ["tensor", "row", "group:64"])
def test_onnx_source_becomes_the_int8_model_of_its_checkpoint(
    onnx_folder: Path, reference: Path, text: Path, tmp_path: Path, granularity: str
) -> None:
    options = LossyOptions(
        quantize=True, granularity=granularity, scaling=False, compensate=False, calibration=text, reference=reference,
        pruning=Pruning(0.3, "row", "magnitude"), measure=False,
    )  # fmt: skip
    export(DEMO, tmp_path / "checkpoint", ExportOptions(codec=CodecChoice("ans"), lossy=options))
    result = export(onnx_folder, tmp_path / "out", ExportOptions(codec=CodecChoice("ans"), lossy=options))
    assert not result.lossless
    ours, theirs = logits(tmp_path / "out", "lpc"), logits(tmp_path / "checkpoint", "lpc")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * float(np.ptp(theirs)))
    np.testing.assert_allclose(logits(tmp_path / "out", "cpu"), ours, rtol=0, atol=1e-4 * float(np.ptp(theirs)))


def test_onnx_source_is_calibrated_compensated_and_measured(onnx_folder: Path, text: Path, tmp_path: Path) -> None:
    options = LossyOptions(quantize=True, pruning=Pruning(0.2), calibration=text)
    result = export(onnx_folder, tmp_path / "out", ExportOptions(codec=CodecChoice("ans"), lossy=options))
    assert [each["pass"] for each in result.passes] == ["calibrate", "prune", "quantize"]
    assert result.loss is not None
    assert 0 < result.loss["kl"]["value"] < 0.02
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_onnx_source_of_an_old_opset_is_refused(onnx_folder: Path, text: Path, tmp_path: Path) -> None:
    shutil.copytree(onnx_folder, tmp_path / "old")
    model = onnx.load(tmp_path / "old" / "model.onnx", load_external_data=False)
    for entry in model.opset_import:
        entry.version = 17 if entry.domain == "" else entry.version
    onnx.save(model, tmp_path / "old" / "model.onnx")
    options = LossyOptions(
        quantize=True, granularity="group:64", scaling=False, compensate=False, calibration=text, measure=False
    )
    with pytest.raises(ExportError, match=r"opset 17, but DequantizeLinear .* needs 21.*--granularity row"):
        export(tmp_path / "old", tmp_path / "out", ExportOptions(lossy=options))
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_onnx_source_with_packed_bytes_is_refused(tmp_path: Path) -> None:
    model = make(
        tmp_path / "m.onnx",
        [node("DequantizeLinear", ["w", "s"], "d"), node("MatMul", ["x", "d"], "y")],
        {"w": np.ones((64, 96), np.int8), "s": np.float32(0.5)},
        {"y": ["n", 96]},
        {"x": (FLOAT, ["n", 64])},
        False,
    )
    with pytest.raises(ExportError, match=r"m\.onnx: w is int8.*multiplied in float32"):
        export(model, tmp_path / "out", ExportOptions(lossy=LossyOptions(quantize=True)))
