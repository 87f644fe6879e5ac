"""The search for the best states, against trying every assignment."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.plan.search import PAGE, Choice, Item, Problem, best, evaluate, smallest, subset_sum

STATES = ("decoded", "resident", "streamed")


def brute_force(problem: Problem) -> Choice | None:
    """The best of all assignments, by the objective that search.py states."""
    choices = (evaluate(problem, states) for states in itertools.product(STATES, repeat=len(problem.items)))
    return min((c for c in choices if c.memory <= problem.budget), key=lambda c: c.rank, default=None)


def independent_figures(problem: Problem, states: Sequence[str]) -> tuple[float, float, int]:
    """Bus seconds, compute seconds and memory of an assignment, written down once more from the text."""
    pairs = list(zip(problem.items, states, strict=True))
    bus = sum(item.stored for item, state in pairs if state == "streamed") / problem.bus + problem.bus_seconds
    compute = problem.compute_seconds
    compute += sum(item.decoded_seconds if state == "decoded" else item.stored_seconds for item, state in pairs)
    round_up = {"decoded": lambda item: -(-item.decoded // PAGE), "resident": lambda item: -(-item.stored // PAGE)}
    weights = sum(round_up[state](item) * PAGE for item, state in pairs if state != "streamed")
    return bus, compute, weights


def independent_ring(problem: Problem, states: Sequence[str]) -> int:
    """The ring of an assignment, where layers of one class have equal parts."""
    pairs = list(zip(problem.items, states, strict=True))
    parts = [item.streamed_part for item, state in pairs if state == "streamed"]
    parts += [item.resident_part for item, state in pairs if state in ("resident", "streamed")]
    return problem.ring_parts * max((-(-part // PAGE) * PAGE for part in parts), default=0)


def layer(stored: int, decoded: int, decode_rate: float, dram: float = 8e6, blobs: int = 2) -> Item:
    """Sizes in pages; a layer of `blobs` equal blobs that is decoded (rate in bytes/s) before it is multiplied."""
    stored, decoded = stored * PAGE, decoded * PAGE
    return Item(
        stored, decoded, decoded / decode_rate + decoded / dram, decoded / dram, decoded // blobs, decoded // blobs
    )


def assert_is_optimal(problem: Problem) -> None:
    found, expected = best(problem), brute_force(problem)
    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    assert found.memory <= problem.budget
    assert found.seconds == pytest.approx(expected.seconds, rel=1e-12)
    assert found.bus_seconds == pytest.approx(expected.bus_seconds, rel=1e-12)
    bus, compute, weights = independent_figures(problem, found.states)
    assert (found.bus_seconds, found.compute_seconds) == pytest.approx((bus, compute))
    assert found.memory == weights + independent_ring(problem, found.states)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to six unequal layers of one shape and a head of another, every regime of bus and budget."""
    decode = draw(st.sampled_from([1e6, 4e6, 5e7]))
    count = draw(st.integers(1, 6))
    items = [layer(draw(st.integers(20, 30)), 32, decode) for _ in range(count)]
    items.append(layer(draw(st.integers(30, 60)), 64, decode, blobs=1))
    total = sum(item.decoded for item in items)
    return Problem(items, draw(st.integers(0, 2 * total)), draw(st.sampled_from([1e5, 5e5, 2e6, 1e9])), 0.001, 0.002)


@settings(max_examples=50, deadline=None)
@given(problems())
def test_search_unequal_layers_finds_the_brute_force_optimum(problem: Problem) -> None:
    assert_is_optimal(problem)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 7))
def test_search_layers_without_anything_in_common_finds_the_brute_force_optimum(seed: int, count: int) -> None:
    draw = random.Random(seed)
    items = []
    for _ in range(count):
        decoded = draw.randint(8, 80)
        items.append(layer(draw.randint(4, decoded), decoded, draw.choice([1e6, 1e7]), blobs=draw.randint(1, 4)))
    budget = draw.randint(0, 2 * sum(item.decoded for item in items))
    assert_is_optimal(Problem(items, budget, draw.choice([2e5, 1e6, 1e8])))


def test_search_direct_codec_is_never_decoded() -> None:
    items = [Item(70 * PAGE, 100 * PAGE, 0.07, 0.10, 50 * PAGE, 0) for _ in range(5)]
    found = best(Problem(items, 10_000 * PAGE, 1e6))
    assert found is not None
    assert found.states == ("resident",) * 5
    assert found.memory == 350 * PAGE  # no ring: multiplied where it lies


def test_search_spends_memory_on_decoding_where_the_bus_is_free() -> None:
    items = [layer(70, 100, decode_rate=1e5) for _ in range(4)]
    budget = 2 * 100 * PAGE + 3 * 50 * PAGE  # two decoded layers and the ring
    found = best(Problem(items, budget, bus=1e9))
    assert found is not None
    assert found.states.count("decoded") == 2
    assert found.states.count("streamed") == 2


@pytest.mark.parametrize("bus", [1e5, 1e6, 1e7])
def test_search_more_budget_is_never_slower(bus: float) -> None:
    draw = random.Random(5)
    items = [layer(draw.randint(640, 700), 1000, 2e6, blobs=7) for _ in range(24)] + [layer(500, 700, 2e6, blobs=1)]
    before = float("inf")
    for budget in range(500 * PAGE, 27_000 * PAGE, 250 * PAGE):
        found = best(Problem(items, budget, bus))
        if found is not None:
            assert found.seconds <= before
            before = found.seconds
        else:
            assert before == float("inf")
    assert before < float("inf")


@settings(max_examples=25, deadline=None)
@given(problems())
def test_search_smallest_is_the_least_memory_of_all_and_exactly_enough(problem: Problem) -> None:
    need = smallest(problem).memory
    every = itertools.product(STATES, repeat=len(problem.items))
    assert need == min(evaluate(problem, states).memory for states in every)
    assert best(Problem(problem.items, need, problem.bus)) is not None
    assert best(Problem(problem.items, need - PAGE, problem.bus)) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=10), st.integers(0, 200))
def test_subset_sum_is_the_largest_that_fits(sizes: list[int], limit: int) -> None:
    chosen = subset_sum([size * PAGE for size in sizes], limit * PAGE)
    assert len(set(chosen)) == len(chosen)
    sums = {0}
    for size in sizes:
        sums |= {total + size for total in sums}
    assert sum(sizes[position] for position in chosen) == max(total for total in sums if total <= limit)
