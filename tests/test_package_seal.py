"""The hashes of an exported folder's files: what is refused, what is a warning, and how a change is accepted."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from checkpoints import damage, unseal, write_llama
from real_models import RunPython

from edge_runtime.errors import ConfigError, ExportError, FormatError, LpcError, PackageWarning
from edge_runtime.package import Package, seal
from exporters.export import ExportOptions, export
from exporters.package.codec_choice import CodecChoice
from exporters.package.reseal import reseal
from exporters.package.verify import verify

LPC_EXPORT = "from exporters.cli import main; main()"
TEMPLATE = "chat_template.jinja"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two models of the same shape, by seed, with tables in the data file."""
    root = tmp_path_factory.mktemp("sealed")
    folders = {}
    for seed in (0, 1):
        model = write_llama(root / f"model-{seed}", seed=seed, head_dim=12, max_position_embeddings=50_000)
        (model / TEMPLATE).write_text("{{ messages }}")
        (model / "vocab.json").write_text("{}")
        folders[seed] = root / f"out-{seed}"
        export(model, folders[seed], ExportOptions(codec=CodecChoice("stored")))
    return folders


@pytest.fixture
def folder(exported: dict[int, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported[0], tmp_path / "out"))


@pytest.fixture
def lpc_export(run_python: RunPython) -> RunPython:
    def run(*arguments: str, **options: Any) -> CompletedProcess[str]:
        return run_python(LPC_EXPORT, *arguments, **options)

    return run


def manifest_of(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "lpc.json").read_text(encoding="utf-8"))
    return values


def edit(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")


def refused(folder: Path, kind: type[LpcError] = FormatError) -> str:
    with pytest.raises(kind) as caught:
        Package.open(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_export_hashes_every_file(folder: Path) -> None:
    files = manifest_of(folder)["files"]
    assert set(files) == {file.name for file in folder.iterdir()} - {"lpc.json"}
    for name, entry in files.items():
        assert entry["bytes"] == (folder / name).stat().st_size
        assert entry["xxh3_128"] == seal.file_hash(folder / name)
    assert [name for name, entry in files.items() if "headers_xxh3_128" in entry] == ["model.lpc"]


def test_open_as_exported_warns_of_nothing(folder: Path) -> None:
    (folder / "notes.txt").write_text("a file that somebody added")
    assert Package.open(folder).path == folder
    assert verify(folder) == 16


def test_open_graph_with_one_changed_byte_is_refused(folder: Path) -> None:
    damage(folder / "model.onnx", (folder / "model.onnx").stat().st_size // 2)
    assert "model.onnx: is not the graph that lpc.json was written for" in refused(folder)
    with pytest.raises(FormatError, match=r"model\.onnx: is not the graph"):
        verify(folder)


def test_open_weights_of_another_model_of_the_same_size_are_refused(folder: Path, exported: dict[int, Path]) -> None:
    other = exported[1] / "model.lpc"
    assert other.stat().st_size == (folder / "model.lpc").stat().st_size
    shutil.copy(other, folder / "model.lpc")
    assert "model.lpc: is not the weights that lpc.json was written for" in refused(folder)


def test_open_graph_of_another_model_is_refused(folder: Path, exported: dict[int, Path]) -> None:
    shutil.copy(exported[1] / "model.onnx", folder / "model.onnx")
    assert "model.onnx: is not the graph" in refused(folder)


def test_open_constant_with_a_changed_byte_is_refused(folder: Path) -> None:
    constant = manifest_of(folder)["constants"][0]
    damage(folder / "model.lpc", constant["offset"] + constant["bytes"] // 2)
    assert "model.lpc: is not the weights" in refused(folder)


def test_open_constants_beyond_the_limit_are_known_by_their_ends(
    exported: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "CONSTANT_BYTES", 1 << 20)
    folder = Path(shutil.copytree(exported[0], tmp_path / "out"))
    manifest = unseal_and_seal(folder)
    constant = manifest["constants"][1]
    damage(folder / "model.lpc", constant["offset"] + constant["bytes"] // 2)
    assert Package.open(folder).path == folder
    with pytest.raises(ExportError, match=r"rotary_sin .* has hash"):
        verify(folder)
    damage(folder / "model.lpc", constant["offset"] + constant["bytes"] - 1)
    assert "model.lpc: is not the weights" in refused(folder)


def unseal_and_seal(folder: Path) -> dict[str, Any]:
    reseal(unseal(folder))
    return manifest_of(folder)


def test_open_reads_no_weight(folder: Path) -> None:
    manifest = manifest_of(folder)
    before = characters_read()
    Package.open(folder)
    read = characters_read() - before
    small = sum(file.stat().st_size for file in folder.iterdir() if file.name != "model.lpc")
    constants = sum(constant["bytes"] for constant in manifest["constants"])
    # Small files are read twice, to hash them and to parse them.
    assert read <= 2 * small + constants + seal.HEADER_BYTES * len(manifest["tensors"]) + 4096


def characters_read() -> int:
    """Bytes that this process has asked read calls for so far."""
    io = Path("/proc/self/io").read_text(encoding="ascii")
    return int(io.split("rchar:")[1].split()[0])


@pytest.mark.parametrize(
    "names", [("genai_config.json",), ("tokenizer.json", TEMPLATE), ("tokenizer_config.json", "vocab.json", TEMPLATE)]
)
def test_open_edited_configuration_is_one_warning(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        edit(folder / name)
    with pytest.warns(PackageWarning) as caught:
        Package.open(folder)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert all(name in message for name in names)
    assert f"lpc-export --reseal {folder}" in message
    with pytest.raises(ExportError, match="changed since the export"):
        verify(folder)


def test_run_edited_configuration_is_one_line_and_the_same_tokens(folder: Path, lpc_run: RunPython) -> None:
    arguments = (str(folder), "-p", "w5 w9", "-n", "4", "--greedy")
    before = lpc_run(*arguments)
    edit(folder / "genai_config.json")
    after = lpc_run(*arguments)
    assert (before.returncode, after.returncode, after.stdout) == (0, 0, before.stdout)
    assert "warning" not in before.stderr
    assert after.stderr.count("lpc-run: warning: ") == 1
    assert after.stderr.count("\n") == before.stderr.count("\n") + 1


@pytest.mark.parametrize("name", ["model.onnx", "vocab.json", TEMPLATE])
def test_open_listed_file_that_is_missing_is_an_error(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: missing" in refused(folder, ConfigError)


def test_open_without_hashes_loads_as_before(folder: Path) -> None:
    unseal(folder)
    edit(folder / "genai_config.json")
    damage(folder / "model.onnx", (folder / "model.onnx").stat().st_size // 2)
    assert Package.open(folder).path == folder
    assert verify(folder) == 16


def test_verify_byte_between_weights_is_found(folder: Path) -> None:
    tensors = manifest_of(folder)["tensors"]
    gap = next(a for a, b in itertools.pairwise(tensors) if a["offset"] + a["bytes"] < b["offset"])
    damage(folder / "model.lpc", gap["offset"] + gap["bytes"])
    assert Package.open(folder).path == folder  # nobody reads it
    with pytest.raises(ExportError, match="changed between its weights"):
        verify(folder)


def test_verify_command_says_how_many_files(folder: Path, lpc_export: RunPython) -> None:
    files = len(manifest_of(folder)["files"])
    assert f"bit for bit, and so are its {files} files" in lpc_export("verify", str(folder)).stdout
    unseal(folder)
    assert "its files have no hashes" in lpc_export("verify", str(folder)).stdout


def test_reseal_accepts_and_says_what_changed(folder: Path, lpc_export: RunPython) -> None:
    edit(folder / "genai_config.json")
    (folder / "vocab.json").unlink()
    (folder / "generation_config.json").write_text("{}")
    done = lpc_export("--reseal", str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    expected = "changed: genai_config.json; added: generation_config.json; removed: vocab.json"
    assert done.stdout == f"{folder}: {expected}\n"
    assert Package.open(folder).path == folder
    assert verify(folder) == 16
    assert reseal(folder).line() == "nothing changed"
    assert sorted(file.name for file in folder.iterdir() if file.name.startswith(".")) == []


def test_reseal_accepts_an_edited_graph(folder: Path) -> None:
    damage(folder / "model.onnx", 20)
    assert reseal(folder).changed == ("model.onnx",)
    assert Package.open(folder).path == folder


def test_reseal_other_weights_are_refused(folder: Path, exported: dict[int, Path]) -> None:
    before = (folder / "lpc.json").read_bytes()
    shutil.copy(exported[1] / "model.lpc", folder / "model.lpc")
    with pytest.raises(FormatError, match=r"model\.lpc: is not the weights"):
        reseal(folder)
    with pytest.raises(LpcError, match="has hash"):
        reseal(unseal(folder))
    assert json.loads(before)["files"]
    assert "files" not in manifest_of(folder)


def test_reseal_folder_without_hashes_gets_them(folder: Path) -> None:
    before = manifest_of(folder)
    assert unseal_and_seal(folder)["files"] == before["files"]


def test_reseal_of_no_exported_folder_is_one_line(tmp_path: Path, lpc_export: RunPython) -> None:
    done = lpc_export("--reseal", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1


def test_open_tokenizer_that_is_not_listed_is_a_warning(folder: Path) -> None:
    manifest = manifest_of(folder)
    del manifest["files"]["tokenizer.json"]
    (folder / "lpc.json").write_text(json.dumps(manifest))
    with pytest.warns(PackageWarning, match=r"tokenizer\.json changed"):
        Package.open(folder)


def test_open_graph_that_is_not_listed_is_refused(folder: Path) -> None:
    shutil.copy(folder / "model.onnx", folder / "other.onnx")
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["decoder"]["filename"] = "other.onnx"
    (folder / "genai_config.json").write_text(json.dumps(config))
    assert "other.onnx: is not the graph" in refused(folder)
