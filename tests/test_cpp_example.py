"""The C++ example builds against onnxruntime's headers and the library in its wheel, and gives the golden tokens."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from real_models import ROOT, ExportModel, golden, old_onnxruntime

from edge_runtime import native

SOURCE = ROOT / "examples" / "cpp" / "generate.cc"


def headers() -> Path:
    """Return the folder of onnxruntime_cxx_api.h: named, fetched by a build of the library, or the system's."""
    named = [os.environ.get("ONNXRUNTIME_INCLUDE_DIR", ""), str(ROOT / "build" / "onnxruntime-headers")]
    found = [*ROOT.glob("build/**/onnxruntime_cxx_api.h"), *Path("/usr/include").glob("**/onnxruntime_cxx_api.h")]
    for folder in [*map(Path, filter(None, named)), *(path.parent for path in found)]:
        if (folder / "onnxruntime_cxx_api.h").is_file():
            return folder
    pytest.skip("onnxruntime_cxx_api.h not found: set ONNXRUNTIME_INCLUDE_DIR, or build the native library")


def wheel_libraries(packages: Path, links: Path) -> Path:
    """Link the shared libraries of a wheel under the names that a linker and a loader look for."""
    capi = packages / "onnxruntime" / "capi"
    links.mkdir()
    library = next(capi.glob("libonnxruntime.so.*"))
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (links / name).symlink_to(library)
    (links / "libonnxruntime_providers_shared.so").symlink_to(capi / "libonnxruntime_providers_shared.so")
    return links


def build(folder: Path, packages: Path) -> Path:
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("no C++ compiler (c++, or set CXX)")
    libraries = wheel_libraries(packages, folder / "lib")
    program = folder / "generate"
    subprocess.run(
        [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-isystem", str(headers()), str(SOURCE), "-o",
         str(program), f"-L{libraries}", "-lonnxruntime", f"-Wl,-rpath,{libraries}"], check=True,
    )  # fmt: skip
    return program


def packages_of(version: str) -> Path:
    """Return the folder that holds the package onnxruntime."""
    if version == "installed":
        import onnxruntime

        return Path(onnxruntime.__file__).parents[1]
    return old_onnxruntime()


@pytest.mark.parametrize("version", ["installed", "1.23"])
def test_cpp_example_builds_and_prints_the_golden_tokens(
    version: str, tmp_path: Path, export_model: ExportModel
) -> None:
    program = build(tmp_path, packages_of(version))
    usage = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (usage.returncode, usage.stderr) == (2, "usage: generate FOLDER liblpc.so COUNT ID [ID...]\n")
    folder = export_model("stories260k", "lz4")
    for record in golden("stories260k"):
        arguments = [str(native.library_path()), str(len(record["greedy_ids"])), *map(str, record["prompt_ids"])]
        done = subprocess.run([program, folder, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert [int(token) for token in done.stdout.split()] == record["greedy_ids"]


def test_cpp_example_is_short() -> None:
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith("//")]
    assert len(code) <= 70
