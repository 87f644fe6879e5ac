"""The codecs and kernels cross-compiled for aarch64, to be run under user-mode emulation."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
NATIVE = ROOT / "native"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
LZ4 = Path("/usr/lib/aarch64-linux-gnu/liblz4.a")
# The library without what needs threads, files or ONNX Runtime.
SOURCES = ["base/error.cc", "base/version.cc", "codecs/codec.cc", "codecs/registry.cc", "codecs/tensor.cc"]
FOLDERS = ["codecs/ans", "codecs/bitmap", "codecs/lz4", "codecs/packed", "codecs/stored", "simd"]
FLAGS = ["-std=c++20", "-O3", "-ffp-contract=fast", '-DLPC_VERSION="test"', "-Wall", "-Wextra", "-Werror"]


def missing_tool() -> str | None:
    """What is not installed of what this needs, or None."""
    for tool in (COMPILER, EMULATOR):
        if shutil.which(tool) is None:
            return tool
    return None if LZ4.is_file() else "liblz4-dev:arm64"


def build_archive(out: Path) -> Path:
    """Compile the library into `out`; returns the archive."""
    others = ("_avx2", "_avx512", "_vbmi2")
    found = [path for folder in FOLDERS for path in sorted((NATIVE / folder).glob("*.cc"))]
    sources = [NATIVE / name for name in SOURCES] + [path for path in found if not path.stem.endswith(others)]
    jobs = "\n".join(f"{index}.o {path}" for index, path in enumerate(sources))
    compile_one = f'{COMPILER} {" ".join(FLAGS)} -I{NATIVE} -I{NATIVE / "include"} -c "$2" -o "$1"'.replace(
        '"test"', r"\"test\""
    )
    script = ["xargs", "-P", str(os.cpu_count()), "-L", "1", "sh", "-c", compile_one, "sh"]
    subprocess.run(script, input=jobs, text=True, check=True, cwd=out)
    archive = out / "lpc.a"
    subprocess.run(["aarch64-linux-gnu-ar", "rc", archive, *sorted(out.glob("*.o"))], check=True)
    return archive


def build_program(source: Path, archive: Path) -> Path:
    """Compile and link a program beside the archive; returns it."""
    program = archive.parent / source.stem
    command = [COMPILER, *FLAGS, f"-I{NATIVE}", f"-I{NATIVE / 'include'}", "-static", source]
    subprocess.run([*command, archive, LZ4, "-o", program], check=True)
    return program
