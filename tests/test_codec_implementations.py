"""Every SIMD implementation gives the same bytes; which one runs can be forced, and is told."""

from __future__ import annotations

import subprocess

import pytest
from real_models import RunPython

from edge_runtime import native

# Prints the implementation and a hash over blobs and decoded arrays of all dtypes.
DIGEST = """
import hashlib, sys
sys.path.insert(0, "tests")
import codec_arrays, oracle, oracle_lz4
from edge_runtime import codec, native

digest = hashlib.sha256()
for dtype in oracle.DTYPES:
    arrays = list(codec_arrays.contents(dtype).values())
    arrays += [codec_arrays.normal(dtype, (n,), seed=n) for n in range(0, 400, 3)]
    arrays += [codec_arrays.normal(dtype, (1, 8 * oracle_lz4.BLOCK_BYTES + 77))]
    if dtype != "fp32":
        arrays.append(codec_arrays.all_patterns(dtype))
    for array in arrays:
        blob = codec.encode(array)
        decoded = codec.decode(blob)
        assert decoded.tobytes() == array.tobytes()
        digest.update(blob)
print(native.implementation(), digest.hexdigest())
"""


def digest(run_python: RunPython, name: str) -> str:
    done = run_python(DIGEST, env={"LPC_FORCE_IMPL": name})
    assert done.returncode == 0, done.stderr
    implementation, value = done.stdout.split()
    assert implementation == name
    return str(value)


def failed(run_python: RunPython, name: str) -> subprocess.CompletedProcess[str]:
    code = "import numpy; from edge_runtime import codec; codec.encode(numpy.zeros(3000, numpy.float32))"
    return run_python(code, env={"LPC_FORCE_IMPL": name})


@pytest.mark.parametrize("name", [name for name in native.implementations() if name != "scalar"])
def test_implementation_writes_the_same_bytes_as_scalar(name: str, run_python: RunPython) -> None:
    assert digest(run_python, name) == digest(run_python, "scalar")


def test_implementations_begin_with_scalar() -> None:
    assert native.implementations()[0] == "scalar"


@pytest.mark.parametrize("name", ["sse9", "AVX2", "neon" if "neon" not in native.implementations() else "avx2"])
def test_implementation_that_cannot_run_is_an_error(name: str, run_python: RunPython) -> None:
    done = failed(run_python, name)
    assert done.returncode != 0
    assert f"LPC_FORCE_IMPL={name}: unknown or not supported" in done.stderr
