"""Sizes, rates and times as people read them: one system, three digits, and needs that are enough."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.io import units


@pytest.mark.parametrize(
    ("count", "shown", "needed", "allowed"),
    [
        (0, "0 B", "0 B", "0 B"),
        (999, "999 B", "999 B", "999 B"),
        (1_000, "1.00 kB", "1.00 kB", "1.00 kB"),
        (1_234_567, "1.23 MB", "1.24 MB", "1.23 MB"),
        (700_000_000, "700 MB", "700 MB", "700 MB"),
        (4 << 30, "4.29 GB", "4.30 GB", "4.29 GB"),
        (999_999_999, "1.00 GB", "1.00 GB", "999 MB"),
    ],
)
def test_format_bytes_is_decimal_with_three_digits(count: int, shown: str, needed: str, allowed: str) -> None:
    assert (units.format_bytes(count), units.format_needed(count), units.format_allowed(count)) == (
        shown, needed, allowed,
    )  # fmt: skip


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=units.LARGEST_BYTES // 2))
def test_format_needed_typed_again_is_enough_and_allowed_is_not_too_much(count: int) -> None:
    needed, allowed = units.parse_size(units.format_needed(count)), units.parse_size(units.format_allowed(count))
    assert allowed <= count <= needed
    assert needed - allowed <= count / 100 + 1


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=units.LARGEST_BYTES // 2))
def test_format_need_above_what_is_allowed_never_looks_equal(count: int) -> None:
    assert units.format_needed(count + 1) != units.format_allowed(count)


@pytest.mark.parametrize("text", ["700MB", "1.50GB", "23.4kB", "1.00TB"])
def test_format_bytes_answers_in_what_was_typed(text: str) -> None:
    assert units.format_bytes(units.parse_size(text)).replace(" ", "") == text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0 ms"), (0.0381, "38.1 ms"), (0.9994, "999 ms"), (0.9996, "1 s"), (2.544, "2.54 s"), (7200.0, "7200 s")],
)
def test_format_seconds_has_three_digits_and_no_exponent(seconds: float, shown: str) -> None:
    assert units.format_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "age", "clock"),
    [
        (40.0, "40 s", "0:40"),
        (150.0, "2 min", "2:30"),
        (3723.0, "62 min", "1:02:03"),
        (200_000.0, "2 days", "55:33:20"),
    ],
)
def test_format_age_and_clock_have_the_largest_unit(seconds: float, age: str, clock: str) -> None:
    assert (units.format_age(seconds), units.format_clock(seconds)) == (age, clock)
