"""A relative data file belongs to the model's folder, and to no other: with the newest onnxruntime and with 1.23."""

from __future__ import annotations

import json
from pathlib import Path

import data_file_cases
import pytest
from real_models import RunPython, with_old_onnxruntime

FOLDER = Path(data_file_cases.__file__).parent
RUN = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import data_file_cases; data_file_cases.main()"
ALLOWED = (
    "absolute path", "path from another model's folder", "file name alone", "bytes and folder",
    "bytes and the folder of onnxruntime", "snapshot", "snapshot of shared blobs", "link inside", "path inside",
)  # fmt: skip
WITHOUT_FOLDER = ("bytes", "bytes in another model's folder")
OUTSIDE = (
    "refused: ..", "refused: absolute", "refused: link", "refused: link of a snapshot to another place",
    "refused: constant", "refused: device",
)  # fmt: skip
NOT_REGULAR = {"refused: named pipe": "is a named pipe", "refused: folder": "is a folder"}


@pytest.fixture(scope="module", params=["installed", "1.23"])
def outcomes(request: pytest.FixtureRequest, run_python: RunPython) -> tuple[dict[str, str], bool]:
    """What became of every case, and whether onnxruntime looks at the paths itself before the provider does."""
    old = request.param == "1.23"
    done = run_python(RUN, env=with_old_onnxruntime() if old else {}, timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert not old or result["version"].startswith("1.23.")
    assert set(result["outcomes"]) == {*ALLOWED, *WITHOUT_FOLDER, *OUTSIDE, *NOT_REGULAR}
    return result["outcomes"], not old


def test_data_file_of_the_models_folder_is_read(outcomes: tuple[dict[str, str], bool]) -> None:
    assert {case: outcomes[0][case] for case in ALLOWED} == dict.fromkeys(ALLOWED, "own")


@pytest.mark.parametrize("case", WITHOUT_FOLDER)
def test_data_file_of_a_model_without_folder_is_refused(outcomes: tuple[dict[str, str], bool], case: str) -> None:
    assert "name one with provider option model_folder" in outcomes[0][case]


@pytest.mark.parametrize("case", OUTSIDE)
def test_data_file_outside_is_refused(outcomes: tuple[dict[str, str], bool], case: str) -> None:
    found, checked_before = outcomes
    assert "lies outside the model's folder" in found[case] or (checked_before and "path" in found[case]), found[case]


@pytest.mark.parametrize("case", NOT_REGULAR)
def test_data_file_that_is_no_file_is_refused(outcomes: tuple[dict[str, str], bool], case: str) -> None:
    assert f"model.lpc: {NOT_REGULAR[case]}, expected a regular file" in outcomes[0][case]
