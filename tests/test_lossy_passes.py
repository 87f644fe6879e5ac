"""The transforms by themselves: what quantization, scaling, pruning and compensation do to numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.errors import ConfigError
from exporters.graphs.interface import NormFold, Site
from exporters.transforms import prune, scale
from exporters.transforms.calibrate import Activations
from exporters.transforms.compensate import Moments, compensated
from exporters.transforms.options import LossyOptions
from exporters.transforms.pieces import Fix
from exporters.transforms.prune import Pruning
from exporters.transforms.quantize import (
    ROW,
    TENSOR,
    counts,
    entropy_bits,
    group_of,
    integers,
    largest,
    scales_of,
    spread,
)

Floats = NDArray[np.float32]


def normal(rows: int, columns: int, seed: int = 0) -> Floats:
    return (np.random.default_rng(seed).standard_normal((rows, columns)) * 0.02).astype(np.float32)


@pytest.mark.parametrize(("granularity", "group", "shape"), [
    ("tensor", TENSOR, ()), ("row", ROW, (5,)), ("group:32", 32, (5, 4)),
])  # fmt: skip
def test_quantize_error_is_at_most_half_a_step(granularity: str, group: int, shape: tuple[int, ...]) -> None:
    weights = normal(5, 100)
    assert group_of(granularity) == group
    scales = scales_of(largest(weights, group), 0.0)
    assert scales.shape == shape
    values = integers(weights, scales, group)
    assert np.abs(values.astype(np.int64)).max() == 127
    steps = spread(scales, group, 100)
    assert (np.abs(values * steps - weights) <= steps * 0.5001).all()


def test_quantize_zeros_stay_zero_and_a_coarse_step_is_kept() -> None:
    weights = np.zeros((2, 64), np.float32)
    weights[0, 0] = 1.0
    scales = scales_of(largest(weights, ROW), 0.25)
    assert scales.tolist() == [0.25, 1.0]
    assert integers(weights, scales, ROW)[0, :2].tolist() == [4, 0]


@pytest.mark.parametrize("name", ["column", "group", "group:", "group:8", "group:33", "group:-32", ""])
def test_granularity_of_another_name_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="expected tensor, row or group:N"):
        group_of(name)


def test_entropy_equals_that_of_known_distributions() -> None:
    assert entropy_bits(counts(np.array([1, 1, 1], np.int8))) == 0
    assert entropy_bits(counts(np.array([1, -1, 2, -2], np.int8))) == 2
    assert entropy_bits(np.zeros(256, np.int64)) == 0


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_out_of_range_is_an_error(sparsity: float) -> None:
    with pytest.raises(ConfigError, match="expected 0 or more and less than 1"):
        Pruning(sparsity)


def test_options_that_contradict_one_another_are_errors() -> None:
    with pytest.raises(ConfigError, match="needs quantization"):
        LossyOptions(target_bits=4.0, pruning=Pruning(0.5))
    with pytest.raises(ConfigError, match="expected one of them"):
        LossyOptions(quantize=True, target_bits=4.0, max_kl=0.1)
    with pytest.raises(ConfigError, match=r"2:4 has 0\.5"):
        Pruning(0.3, "2:4")


def test_prune_by_row_takes_the_same_fraction_of_the_least_in_every_row() -> None:
    weights, channels = normal(20, 200), np.linspace(0.1, 10, 200, dtype=np.float32)
    mask = prune.pruned(weights, channels, Pruning(0.3, "row"))
    assert (mask.sum(1) == 60).all()
    scores = np.abs(weights) * channels
    for row in range(20):
        assert scores[row][mask[row]].max() <= scores[row][~mask[row]].min()


def test_prune_two_of_four_leaves_the_larger_two() -> None:
    weights = normal(3, 18)
    mask = prune.pruned(weights, np.ones(18, np.float32), Pruning(0.5, "2:4"))
    fours = np.abs(weights[:, :16]).reshape(3, 4, 4)
    assert (mask[:, :16].reshape(3, 4, 4).sum(2) == 2).all()
    assert not mask[:, 16:].any()  # what is left of four stays
    kept = np.where(mask[:, :16].reshape(3, 4, 4), 0, fours).sum(2)
    np.testing.assert_allclose(kept, np.sort(fours, 2)[:, :, 2:].sum(2))


def test_prune_total_threshold_gives_the_fraction_over_all_weights() -> None:
    scores = [np.abs(normal(50, 400, 1)), np.abs(normal(50, 400, 2)) * 3]
    total = np.sum([prune.histogram(part, 0.02) for part in scores], 0)
    threshold = prune.threshold_of(total, 0.4) * 0.02
    assert abs(np.mean(np.concatenate(scores) < threshold) - 0.4) < 0.01


def moments(columns: int, seed: int = 3) -> tuple[Floats, Floats]:
    """Correlated activations [tokens, columns] and their second moments."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((columns, columns)) / np.sqrt(columns) + np.eye(columns)
    x = (rng.standard_normal((4000, columns)) @ mix * np.exp(rng.standard_normal(columns))).astype(np.float32)
    return x, (x.T @ x / len(x)).astype(np.float32)


def factor_of(second: Floats) -> Floats:
    asked = []

    def measure(values: object) -> dict[str, Floats]:
        asked.append(values)
        return {"x": second}

    found = Moments({"x": ["w"]}, {"x": len(second)}, measure)
    factor = found.factor("w", None)
    assert found.factor("w", None) is factor
    assert asked == [["x"]]
    return factor


@pytest.mark.parametrize("task", ["prune", "round"])
def test_compensation_makes_the_products_error_smaller(task: str) -> None:
    weights = normal(40, 192)
    x, second = moments(192)
    channels = np.sqrt(np.diag(second))
    pruning = Pruning(0.5, "row")
    scales = scales_of(largest(weights, ROW), 0.02)[:, None]

    def zeroed(block: Floats, part: slice) -> Fix:
        mask = prune.pruned(block, channels[part], pruning)
        return lambda column, values: np.where(mask[:, column], 0, values)

    def rounded(column: int, values: Floats) -> Floats:
        return integers(values[:, None], scales[:, 0], ROW)[:, 0] * scales[:, 0]

    ours = compensated(
        weights, factor_of(second), lambda block, part: [zeroed(block, part) if task == "prune" else rounded]
    )
    if task == "prune":
        naive = np.where(prune.pruned(weights, channels, pruning), 0, weights)
        assert np.count_nonzero(ours == 0) == weights.size // 2
    else:
        naive = integers(weights, scales[:, 0], ROW) * scales
        np.testing.assert_allclose(ours / scales, np.rint(ours / scales), atol=1e-3)

    def error(changed: Floats) -> float:
        return float(np.square(x @ (changed - weights).T).mean())

    assert error(ours) < 0.85 * error(naive)


def test_scaling_with_unequal_channels_needs_fewer_bits_for_the_same_error() -> None:
    columns = 256
    rms = np.exp(np.random.default_rng(1).standard_normal(columns)).astype(np.float32)
    entry = Activations(3 * rms, rms**2)
    site = Site("x", ("w",), NormFold("norm", None, 0.0))
    factors, (chosen,) = scale.search([site], {"w": entry}, lambda name: normal(64, columns), ROW, lambda name: 0.3)
    assert chosen.strength > 0
    assert chosen.bits_after < chosen.bits_before - 0.2  # at best half the logarithm of the means' ratio, here 0.7 bits
    s = factors.columns["w"]
    np.testing.assert_allclose(factors.parameters["norm"][0] * s, 1, rtol=1e-6)
    assert abs(np.log(s).mean()) < 1e-5
    before = factors.steps["w"]
    assert before > 0.3


def test_scaling_with_equal_channels_changes_nothing() -> None:
    entry = Activations(np.ones(64, np.float32), np.ones(64, np.float32))
    site = Site("x", ("w",), NormFold("norm", None, 0.0))
    factors, (chosen,) = scale.search([site], {"w": entry}, lambda name: normal(64, 64), ROW, lambda name: 0.3)
    assert (chosen.strength, factors.columns) == (0.0, {})
