"""The native tests of the codecs, cross-compiled for aarch64 and run under user-mode emulation: NEON against scalar.

Skipped without the tools. `LPC_TEST_STEP=1` tests every lane and length (two minutes), the default every seventh.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest
from arm_build import EMULATOR, NATIVE, build_archive, build_program, missing_tool


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The objects of the library for aarch64, as an archive."""
    missing = missing_tool()
    if missing is not None:
        pytest.skip(f"{missing} is not installed")
    return build_archive(tmp_path_factory.mktemp("neon"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs natively elsewhere")
@pytest.mark.parametrize("name", ["bitmap_test", "codecs_test", "int8_test", "packed_test", "split_test"])
def test_codecs_on_arm_pass_the_native_tests(name: str, library: Path) -> None:
    program = build_program(NATIVE / "tests" / f"{name}.cc", library)
    step = os.environ.get("LPC_TEST_STEP", "7")
    done = subprocess.run(
        [EMULATOR, "-E", f"LPC_TEST_STEP={step}", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") >= 2
