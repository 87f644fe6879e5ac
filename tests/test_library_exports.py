"""What liblpc.so shows to the outside and needs from it; how it is found."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from real_models import ROOT, RunPython

import edge_runtime
from edge_runtime import native
from edge_runtime.errors import RuntimeUnavailableError

ENTRY_POINTS = {"CreateEpFactories", "ReleaseEpFactory", "RegisterCustomOps"}


def tool_output(tool: str, *arguments: str) -> str:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=True).stdout


def declared_functions() -> set[str]:
    """The functions that lpc.h declares."""
    header = (ROOT / "native" / "include" / "lpc" / "lpc.h").read_text(encoding="utf-8")
    return set(re.findall(r"LPC_EXPORT [\w\s*]+?(lpc_\w+)\(", header))


def test_library_exports_only_the_c_api_and_the_plugin() -> None:
    listing = tool_output("nm", "-D", "--defined-only", str(native.library_path()))
    exported = {line.split()[-1].split("@")[0] for line in listing.splitlines()}
    assert exported == declared_functions() | ENTRY_POINTS


def test_library_links_neither_onnxruntime_nor_python() -> None:
    needed = tool_output("ldd", str(native.library_path())).lower()
    assert "liblz4" in needed
    assert "onnxruntime" not in needed
    assert "python" not in needed


def test_library_version_is_the_projects() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{native.version()}"' in project


def test_library_status_names_are_those_of_the_header() -> None:
    header = (ROOT / "native" / "include" / "lpc" / "lpc.h").read_text(encoding="utf-8")
    codes = re.findall(r"^  (LPC_[A-Z_]+) = (\d+)", header.split("} lpc_status;")[0], re.MULTILINE)
    assert len(codes) == 12
    for name, code in codes:
        assert native.library().lpc_status_name(int(code)).decode() == name
    assert native.library().lpc_status_name(77).decode() == "unknown status"


@pytest.mark.parametrize("name", ["missing", "not_a_library"])
def test_library_that_cannot_be_loaded_is_one_clear_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "not_a_library").write_bytes(b"no ELF")
    monkeypatch.setenv("LPC_LIBRARY", str(tmp_path / name))
    with pytest.raises(RuntimeUnavailableError, match=name):
        native.library.__wrapped__()


def test_package_import_is_lazy(run_python: RunPython) -> None:
    done = run_python(
        "import sys, edge_runtime; print([m for m in ('numpy', 'onnxruntime', 'ctypes') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_package_names_are_all_there() -> None:
    assert sorted(edge_runtime.__all__) == dir(edge_runtime)
    for name in edge_runtime.__all__:
        assert getattr(edge_runtime, name) is not None


def test_package_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = edge_runtime.nonsense
