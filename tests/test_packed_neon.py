"""The NEON kernels of codec `packed`, cross-compiled and run under user-mode emulation; skipped without the tools."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from real_models import ROOT

NATIVE = ROOT / "native"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
# All that the segment-level test needs: neither lz4 nor xxhash nor threads, so no libraries of the other architecture.
SOURCES = [
    "tests/packed_test.cc",
    "base/error.cc",
    "base/version.cc",
    "codecs/codec.cc",
    "codecs/tensor.cc",
    "codecs/packed/packed_codec.cc",
    "codecs/packed/packed_encode.cc",
    "codecs/packed/params.cc",
    "simd/isa.cc",
    "simd/dot.cc",
    "simd/dot_scalar.cc",
    "simd/dot_neon.cc",
    "simd/packed.cc",
    "simd/packed_scalar.cc",
    "simd/packed_neon.cc",
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in (COMPILER, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    out = tmp_path_factory.mktemp("neon") / "packed_test"
    flags = [
        "-std=c++20",
        "-O2",
        "-static",
        "-ffp-contract=fast",
        '-DLPC_VERSION="test"',
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    includes = [f"-I{NATIVE}", f"-I{NATIVE / 'include'}"]
    subprocess.run([COMPILER, *flags, *includes, *(str(NATIVE / name) for name in SOURCES), "-o", str(out)], check=True)
    return out


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs natively elsewhere")
@pytest.mark.parametrize("implementation", ["neon", "scalar"])
def test_packed_on_arm_passes_the_native_tests(program: Path, implementation: str) -> None:
    done = subprocess.run(
        [EMULATOR, "-E", f"LPC_FORCE_IMPL={implementation}", str(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 3
