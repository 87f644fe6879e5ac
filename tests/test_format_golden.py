"""Frozen blobs of each format version, read by the library and by the second decoder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import oracle
import pytest

from edge_runtime import codec, errors

GOLDEN = Path(__file__).parent / "golden"
MANIFEST: dict[str, dict[str, Any]] = json.loads((GOLDEN / "manifest.json").read_text())


def golden(folder: str, name: str) -> bytes:
    return (GOLDEN / folder / f"{name}.lpc").read_bytes()


@pytest.mark.parametrize("folder", MANIFEST)
def test_golden_every_file_is_in_the_manifest(folder: str) -> None:
    assert {path.stem for path in (GOLDEN / folder).iterdir()} == set(MANIFEST[folder])


@pytest.mark.parametrize("decoder", [codec.decode, oracle.decode], ids=["library", "oracle"])
@pytest.mark.parametrize("name", MANIFEST["good"])
def test_golden_good_blob_decodes_as_before(name: str, decoder: Any) -> None:
    array = decoder(golden("good", name))
    expected = MANIFEST["good"][name]
    assert codec.dtype_name(array.dtype) == expected["dtype"]
    assert list(array.shape) == expected["shape"]
    assert hashlib.sha256(array.tobytes()).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("name", MANIFEST["malformed"])
def test_golden_malformed_blob_is_refused(name: str) -> None:
    blob = golden("malformed", name)
    expected = MANIFEST["malformed"][name]
    with pytest.raises(getattr(errors, expected["error"])) as caught:
        codec.decode(blob)
    assert expected["message"] in str(caught.value)
    if isinstance(caught.value, errors.FormatError):
        assert caught.value.field
        assert caught.value.offset is not None


@pytest.mark.parametrize("name", MANIFEST["malformed"])
def test_golden_malformed_blob_is_refused_by_oracle(name: str) -> None:
    with pytest.raises(oracle.OracleError):
        oracle.decode(golden("malformed", name))
