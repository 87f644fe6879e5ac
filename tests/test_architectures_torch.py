"""Every model family against transformers itself: needs torch, which the golden records spare the other tests."""

from __future__ import annotations

from pathlib import Path

import families
import pytest

from exporters.export import export

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", families.names())
def test_family_equals_transformers(tmp_path: Path, name: str) -> None:
    import torch_families

    record = families.load(name)
    model = families.write_checkpoint(tmp_path / "model", record)
    export(model, tmp_path / "out")
    expected = torch_families.reference(model)
    assert expected["tokens"] == record["tokens"]
    runner = families.Runner(tmp_path / "out", use_provider=True)
    assert families.error_of(runner.logits(families.PROMPT), expected["logits"]) < families.TOLERANCE
    whole = families.PROMPT + expected["tokens"]
    assert families.error_of(runner.logits(whole), expected["whole_logits"]) < families.TOLERANCE
