"""The native tests of the codecs, cross-compiled for aarch64 and run under user-mode emulation: NEON against scalar.

Skipped without the tools. `LPC_TEST_STEP=1` tests every lane and length (two minutes), the default every seventh.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from real_models import ROOT

NATIVE = ROOT / "native"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
LZ4 = Path("/usr/lib/aarch64-linux-gnu/liblz4.a")
# The library without what needs threads, files or ONNX Runtime.
SOURCES = ["base/error.cc", "base/version.cc", "codecs/codec.cc", "codecs/registry.cc", "codecs/tensor.cc"]
FOLDERS = ["codecs/ans", "codecs/bitmap", "codecs/lz4", "codecs/packed", "codecs/stored", "simd"]
FLAGS = ["-std=c++20", "-O2", "-ffp-contract=fast", '-DLPC_VERSION="test"', "-Wall", "-Wextra", "-Werror"]


def sources() -> list[Path]:
    others = ("_avx2", "_avx512", "_vbmi2")
    found = [path for folder in FOLDERS for path in sorted((NATIVE / folder).glob("*.cc"))]
    return [NATIVE / name for name in SOURCES] + [path for path in found if not path.stem.endswith(others)]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The objects of the library for aarch64, as an archive."""
    for tool in (COMPILER, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if not LZ4.is_file():
        pytest.skip("liblz4-dev:arm64 is not installed")
    out = tmp_path_factory.mktemp("neon")
    jobs = "\n".join(f"{index}.o {path}" for index, path in enumerate(sources()))
    compile_one = f'{COMPILER} {" ".join(FLAGS)} -I{NATIVE} -I{NATIVE / "include"} -c "$2" -o "$1"'.replace(
        '"test"', r"\"test\""
    )
    script = ["xargs", "-P", str(os.cpu_count()), "-L", "1", "sh", "-c", compile_one, "sh"]
    subprocess.run(script, input=jobs, text=True, check=True, cwd=out)
    archive = out / "lpc.a"
    subprocess.run(["aarch64-linux-gnu-ar", "rc", archive, *sorted(out.glob("*.o"))], check=True)
    return archive


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs natively elsewhere")
@pytest.mark.parametrize("name", ["bitmap_test", "codecs_test", "int8_test", "packed_test", "split_test"])
def test_codecs_on_arm_pass_the_native_tests(name: str, library: Path) -> None:
    program = library.parent / name
    command = [COMPILER, *FLAGS, f"-I{NATIVE}", f"-I{NATIVE / 'include'}", "-static", NATIVE / "tests" / f"{name}.cc"]
    subprocess.run([*command, library, LZ4, "-o", program], check=True)
    step = os.environ.get("LPC_TEST_STEP", "7")
    done = subprocess.run(
        [EMULATOR, "-E", f"LPC_TEST_STEP={step}", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") >= 2
