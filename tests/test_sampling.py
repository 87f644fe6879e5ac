"""Sampling: an independent definition in plain Python, and properties."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import ConfigError, LpcError
from edge_runtime.sampling import Sampler, SamplingParams, distribution, greedy_token, sample_token

logits_rows = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=300).map(
    lambda values: np.array(values, np.float32)
)
temperatures = st.floats(0.05, 5)
top_ks = st.integers(0, 320)
top_ps = st.floats(0.01, 1)


def plain_distribution(logits: list[float], temperature: float, top_k: int, top_p: float) -> dict[int, float]:
    """Temperature, top-k, top-p as their definitions say, with sorted lists."""
    top = max(logits)
    ranked = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    ranked = ranked[: top_k or None]
    weights = [math.exp((logits[token] - top) / temperature) for token in ranked]
    wanted, reached, keep = top_p * sum(weights), 0.0, len(ranked)
    for place, weight in enumerate(weights):
        reached += weight
        if reached >= wanted and top_p < 1:
            keep = place + 1
            break
    total = sum(weights[:keep])
    return {token: weight / total for token, weight in zip(ranked[:keep], weights[:keep], strict=True)}


@given(logits_rows, temperatures, top_ks, top_ps)
def test_distribution_any_row_equals_definition(
    logits: np.ndarray, temperature: float, top_k: int, top_p: float
) -> None:
    ids, probabilities = distribution(logits, SamplingParams(temperature, top_k, top_p))
    expected = plain_distribution(logits.tolist(), temperature, top_k, top_p)
    got = dict(zip(ids.tolist(), probabilities.tolist(), strict=True))
    assert sum(got.values()) == pytest.approx(1)
    different = got.keys() ^ expected.keys()
    assert len(different) <= (top_p < 1)  # float32 rounding may move the border of top-p by a token
    if not different:
        assert got == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("vocab", [41, 64, 5119, 5120, 32003])
def test_distribution_large_vocabulary_top_k_equals_sorting(vocab: int) -> None:
    logits = np.round(np.random.default_rng(vocab).standard_normal(vocab).astype(np.float32) * 4, 1)  # many ties
    ids, _ = distribution(logits, SamplingParams(1, 40, 1))
    assert ids.tolist() == np.argsort(-logits, kind="stable")[:40].tolist()


@pytest.mark.parametrize("scale", [0.01, 1, 8])
def test_distribution_large_vocabulary_top_p_is_shortest_prefix(scale: float) -> None:
    logits = np.random.default_rng(1).standard_normal(32003).astype(np.float32) * np.float32(scale)
    ids, _ = distribution(logits, SamplingParams(1, 0, 0.9))
    full = np.sort(np.exp((logits - logits.max()).astype(np.float64)))[::-1]
    share = full.cumsum() / full.sum()
    assert ids.tolist() == np.argsort(-logits, kind="stable")[: len(ids)].tolist()
    assert abs(len(ids) - (int(share.searchsorted(0.9)) + 1)) <= 1


@given(logits_rows)
def test_greedy_any_row_takes_first_largest(logits: np.ndarray) -> None:
    values = logits.tolist()
    assert greedy_token(logits) == values.index(max(values))


@given(logits_rows, st.floats(0, 1, exclude_max=True))
def test_sample_tiny_temperature_or_top_k_one_is_greedy(logits: np.ndarray, uniform: float) -> None:
    best = greedy_token(logits)
    assert sample_token(logits, SamplingParams(temperature=0), uniform) == best
    assert sample_token(logits, SamplingParams(top_k=1), uniform) == best
    assert logits[sample_token(logits, SamplingParams(temperature=1e-9), uniform)] == logits[best]


@given(logits_rows, temperatures, top_ks, top_ps, st.integers(0, 2**64))
@settings(max_examples=50)
def test_sampler_same_seed_repeats(logits: np.ndarray, temperature: float, top_k: int, top_p: float, seed: int) -> None:
    params = SamplingParams(temperature, top_k, top_p, seed)
    first, second = Sampler(params), Sampler(params)
    assert [first.choose(logits) for _ in range(8)] == [second.choose(logits) for _ in range(8)]


def test_sampler_without_seed_reports_one_that_repeats() -> None:
    logits = np.zeros(1000, np.float32)
    sampler = Sampler(SamplingParams(top_k=0))
    again = Sampler(SamplingParams(top_k=0, seed=sampler.seed))
    assert [sampler.choose(logits) for _ in range(16)] == [again.choose(logits) for _ in range(16)]
    assert Sampler(SamplingParams()).seed != Sampler(SamplingParams()).seed


def test_sampler_many_draws_follow_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    sampler = Sampler(SamplingParams(temperature=1, top_k=3, top_p=1, seed=0))
    counts = Counter(sampler.choose(logits) for _ in range(20_000))
    assert counts[3] == 0
    for token, share in enumerate([0.5, 0.3, 0.15]):
        assert counts[token] / 20_000 == pytest.approx(share / 0.95, abs=0.015)


def test_sample_masked_logits_never_chosen() -> None:
    logits = np.full(64, -np.inf, np.float32)
    logits[[3, 9]] = 1
    chosen = {Sampler(SamplingParams(top_k=k, top_p=p, seed=0)).choose(logits) for k in (0, 40) for p in (0.5, 1)}
    assert chosen <= {3, 9}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("params", [SamplingParams(0), SamplingParams(), SamplingParams(top_k=0)])
def test_choose_not_finite_is_an_error(bad: float, params: SamplingParams) -> None:
    logits = np.zeros(100, np.float32)
    logits[50] = bad
    with pytest.raises(LpcError, match="not a finite number"):
        Sampler(params).choose(logits)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_p": math.nan}, "top_p is nan"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_params_out_of_range_is_an_error(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SamplingParams(**values)  # type: ignore[arg-type]
