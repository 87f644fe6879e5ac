"""Configurations that were drawn at random: recorded results of transformers, and transformers itself where it is."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import families
import numpy as np
import pytest
from config_fuzz import draw, product, published, records

from exporters.architectures.registry import MODEL_TYPES

RECORDS = records.load()


def name(record: dict[str, Any]) -> Any:
    """Return what a test is called by."""
    return record.get("name") or f"{record['config']['model_type']}-{record.get('refused', 'equal')}"


@pytest.mark.parametrize("record", RECORDS, ids=name)
def test_recorded_config_gives_the_recorded_logits_or_is_refused_by_name(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    config, shapes = record["config"], records.unfolded(record["tensors"])
    vocabulary = record.get("vocabulary", product.USUAL_VOCABULARY)
    product.write_model(tmp_path / "model", config, shapes, vocabulary)
    ids = product.text(record.get("tokens", product.SHORTEST), vocabulary)
    made = product.make(tmp_path / "model", tmp_path / "out", ids, step=product.steps(config))
    if "refused" in record:
        assert made.refused.startswith(f"MODEL/config.json: {record['refused']} is ")
        return
    assert made.logits is not None, made.refused
    limit = families.TOLERANCE * record["range"]
    rows, columns = records.places(*made.logits.shape)
    np.testing.assert_allclose(made.logits[rows, columns], record["logits"], rtol=0, atol=limit)
    if made.stepped is not None:
        np.testing.assert_allclose(made.stepped, made.logits[-len(made.stepped) :], rtol=0, atol=limit)


def test_every_family_has_records_that_are_equal() -> None:
    assert {record["config"]["model_type"] for record in RECORDS if "logits" in record} == set(MODEL_TYPES)


def test_tensors_written_short_are_the_same() -> None:
    shapes = {
        "a.0.b.0.w": [2, 3],
        "a.0.b.1.w": [2, 3],
        "a.1.b.0.w": [2, 3],
        "a.1.b.1.w": [2, 3],
        "a.1.c": [4],
        "d": [1],
    }
    short = records.folded(shapes)
    assert short == {"a.[2].b.[2].w": [2, 3], "a.1.c": [4], "d": [1]}
    assert records.unfolded(short) == shapes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(24))
def test_config_drawn_now_equals_transformers(number: int) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from config_fuzz import trial

    for config in (draw.draw(Random(f"test-{number}")), published.edit(Random(f"test-{number}"))):
        done = trial.try_one(config)
        assert done.outcome not in trial.FAULTS, trial.line(done)
