"""The worked examples of the codecs' spec.md are real blobs."""

from __future__ import annotations

import re
from pathlib import Path

import codec_arrays
import numpy as np
import oracle
import pytest

from edge_runtime import codec
from edge_runtime.facts import codecs

CODECS = Path(__file__).parents[1] / "native" / "codecs"


def example(name: str) -> bytes:
    """The hex dump of a spec.md; lines "(0d0 to 1bf: 00)" stand for zeros."""
    text = (CODECS / name / "spec.md").read_text(encoding="utf-8")
    dump = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    blob = b""
    for line in dump.splitlines():
        if zeros := re.fullmatch(r" *\((\w+) to (\w+): 00\)", line):
            first, last = (int(place, 16) for place in zeros.groups())
            assert first == len(blob)
            blob += bytes(last + 1 - first)
        else:
            place, values = line.split(": ")
            assert int(place, 16) == len(blob)
            blob += bytes.fromhex(values)
    return blob


def expected(name: str) -> codec_arrays.Array:
    if name == "stored":
        return np.array([1, 2, -3], np.int8)
    if name == "packed":
        array = np.ones((4, 128), codec.numpy_dtype("bf16"))
        array[0, :5] = 1, -1.5, 0.5, 2, 0.25
        array[3, 64:67] = -0.25, 8, 16
        return array
    if name == "bitmap":
        array = np.zeros((2, 128), codec.numpy_dtype("bf16"))
        array[0, 1], array[0, 2], array[1, 127] = -1.5, 0.5, -0.0
        return array
    array = np.ones((8 if name == "ans" else 2, 128), codec.numpy_dtype("bf16"))
    array[0, 1], array[0, 2] = -1.5, 0.5
    return array


@pytest.mark.parametrize("name", codecs())
def test_spec_example_decodes_to_the_tensor_it_tells(name: str) -> None:
    codec_arrays.assert_same(oracle.decode(example(name)), expected(name))
    codec_arrays.assert_same(codec.decode(example(name)), expected(name))


@pytest.mark.parametrize("name", codecs())
def test_spec_example_is_what_the_library_writes(name: str) -> None:
    assert codec.encode(expected(name), name).tobytes() == example(name)


def test_every_codec_folder_has_a_spec_and_a_name() -> None:
    folders = {path.name for path in CODECS.iterdir() if path.is_dir()}
    assert folders == set(codecs())
    assert all((CODECS / name / "spec.md").is_file() for name in folders)
