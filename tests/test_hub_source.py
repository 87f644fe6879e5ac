"""Names of models on the Hugging Face Hub: what is one, and what is said where it cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from checkpoints import write_llama

from edge_runtime.errors import ExportError
from exporters.checkpoints import hub
from exporters.export import export
from exporters.planning.sources import open_plan


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "a/b", "meta-llama/Llama-3.2-1B@main"])
def test_hub_name_is_recognised(name: str) -> None:
    assert hub.is_name(name)


@pytest.mark.parametrize("name", ["model", "/a/b", "./a/b", "a/b/c", "../b", "a/", "https://x/y"])
def test_path_is_no_hub_name(name: str) -> None:
    assert not hub.is_name(name)


def test_hub_offline_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ExportError, match=r"acme/model-1: no such file or folder, and .*Hub did not .*offline"
    ) as caught:
        export("acme/model-1", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_hub_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match=r"pip install 'lpc-edge-runtime\[hub\]'"):
        export("acme/model-1", tmp_path / "out")


def test_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_llama(tmp_path / "acme" / "model-1")
    monkeypatch.chdir(tmp_path)
    plan = open_plan("acme/model-1")
    plan.tensors.close()
    assert plan.name == "model-1"
