"""Rotary position embedding: the frequencies that config.json asks for, as tables of cosine and sine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.config.reader import LARGEST_INTEGER, ConfigReader

_KINDS = ("default", "linear", "dynamic", "llama3", "yarn", "longrope")
_NEED_TRAINED = ("llama3", "yarn", "longrope")
_LARGEST_MAGNITUDE = 1e30
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Llama3Scaling:
    """Llama 3.1: long wavelengths divided by `factor`, short ones kept, a smooth passage between."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class YarnScaling:
    """YaRN (arXiv 2309.00071): pairs that turn less than `beta_slow` times in the original length are divided by
    `factor`, those that turn more than `beta_fast` times are kept; cosine and sine are multiplied by `magnitude`."""

    factor: float
    beta_fast: float
    beta_slow: float
    magnitude: float
    truncate: bool
    original_max_position_embeddings: int


@dataclass(frozen=True)
class LongRope:
    """LongRoPE (arXiv 2402.13753): a divisor a pair; `long` from the first text that exceeds the original length."""

    short: tuple[float, ...]
    long: tuple[float, ...]
    magnitude: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class Rope:
    """theta is the base of the wavelengths; `factor` divides every frequency (linear scaling); the first `partial` of
    a head is rotated. At most one kind of scaling is given. `positions` is the longest text that it is made for."""

    theta: float
    positions: int
    factor: float = 1.0
    llama3: Llama3Scaling | None = None
    yarn: YarnScaling | None = None
    longrope: LongRope | None = None
    partial: float = 1.0

    @classmethod
    def from_config(
        cls, config: ConfigReader, max_positions: int, *, theta: float = 10000.0, partial: float | None = None,
        trained: int | None = None, names: Mapping[str, str] | None = None,
    ) -> Rope:  # fmt: skip
        """Read rope_parameters (transformers 5) or rope_theta with rope_scaling; ConfigError for a kind not known.

        `theta`, `partial` and `trained` (original_max_position_embeddings) are the family's defaults; a family that
        gives no `partial` rotates whole heads only. `names` are the family's other names of kinds.
        """
        style = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
        config.get("rope_parameters")
        section = config.section(style) or ConfigReader(config.path, {})
        if any(isinstance(value, dict) for value in config.get(style, {}).values()):
            raise config.error(style, config.get(style), "one set of parameters for all layers")
        kind = _kind(section, style, names or {})
        if kind in _NEED_TRAINED:  # the key beside the section wins, and so does the family's own default for that key
            trained = trained or section.integer("original_max_position_embeddings", max_positions, at_least=2)
            trained = config.integer("original_max_position_embeddings", trained, at_least=2)
        return cls._make(
            section, kind, max_positions, theta=section.number("rope_theta", config.number("rope_theta", theta)),
            trained=trained or max_positions, truncate=_truncates(section),
            partial=_partial(config, section, kind, partial), extends=True,
        )  # fmt: skip

    @classmethod
    def from_section(
        cls, config: ConfigReader, section: ConfigReader, max_positions: int, *, theta: float, kind: str
    ) -> Rope:
        """Read the parameters of one `kind` of layer; ConfigError for a kind of waves that is not known."""
        waves = _kind(section, f"rope_parameters.{kind}", {})
        trained = max_positions
        if waves in _NEED_TRAINED:
            trained = section.integer("original_max_position_embeddings", max_positions, at_least=2)
        beside = config.section("rope_parameters") or ConfigReader(config.path, {})
        return cls._make(
            section, waves, max_positions, theta=section.number("rope_theta", theta), trained=trained,
            truncate=_truncates(beside), partial=_partial(config, section, waves, None), extends=False,
        )  # fmt: skip

    @classmethod
    def _make(
        cls, section: ConfigReader, kind: str, positions: int, *, theta: float, trained: int, truncate: bool,
        partial: float, extends: bool,
    ) -> Rope:  # fmt: skip
        """`extends` tells that linear scaling begins at `positions`: where it does not, they are scaled already."""
        if kind == "linear":
            factor = section.number("factor")
            longest = _times(factor, positions) if extends else positions
            return cls(theta, longest, factor, partial=partial)
        if kind == "llama3":
            return cls(theta, positions, llama3=_llama3(section, trained), partial=partial)
        if kind == "yarn":
            yarn = _yarn(section, trained, positions, truncate)
            return cls(theta, max(positions, _times(yarn.factor, trained)), yarn=yarn, partial=partial)
        if kind == "longrope":
            return cls(theta, positions, longrope=_longrope(section, trained, positions), partial=partial)
        if kind == "dynamic":  # begins past max_position_embeddings, where our context ends
            section.number("factor")
        return cls(theta, positions, partial=partial)

    def rotary_dim(self, head_dim: int) -> int:
        """Return how many values of a head are rotated."""
        return int(head_dim * self.partial)

    def is_finite(self, dim: int) -> bool:
        """Whether every frequency of `dim` rotated values, and what cosine and sine are multiplied by, is finite."""
        try:
            with np.errstate(all="ignore"):
                made = [frequencies for frequencies, _ in self._waves(dim, self.positions)]
        except (ArithmeticError, ValueError):  # a logarithm or quotient of theta, beta_fast or beta_slow
            return False
        return all(np.isfinite(frequencies).all() for frequencies in made) and self._magnitude <= _LARGEST_MAGNITUDE

    def tables(self, positions: int, head_dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return cosine and sine, float32 [rows, rotary_dim / 2]: one row a position, 0 to `positions` - 1.

        LongRoPE has two tables, one after the other, if `positions` exceed the original length: the short one in
        rows 0 to the original length - 1, then the long one. Angles are rounded to float32 as transformers has them;
        cosine and sine of them are correctly rounded.
        """
        with np.errstate(over="ignore"):
            waves = self._waves(self.rotary_dim(head_dim), positions)
        tables = [_table(frequencies, rows, self._magnitude) for frequencies, rows in waves]
        return np.concatenate([cos for cos, _ in tables]), np.concatenate([sin for _, sin in tables])

    @property
    def _magnitude(self) -> float:
        scaling = self.yarn or self.longrope
        return scaling.magnitude if scaling else 1.0

    def _waves(self, dim: int, positions: int) -> list[tuple[NDArray[np.float32], int]]:
        """Return the frequencies of each table, and its rows."""
        if self.longrope is None:
            return [(self._frequencies(dim), positions)]
        trained = self.longrope.original_max_position_embeddings
        waves = [(self._divided(dim, self.longrope.short), min(positions, trained))]
        return waves + ([(self._divided(dim, self.longrope.long), positions)] if positions > trained else [])

    def _powers(self, dim: int) -> NDArray[np.float32]:
        exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
        powers: NDArray[np.float32] = np.power(np.float64(self.theta), exponents.astype(np.float64)).astype(np.float32)
        return powers

    def _divided(self, dim: int, divisors: tuple[float, ...]) -> NDArray[np.float32]:
        frequencies: NDArray[np.float32] = np.float32(1) / (np.array(divisors, np.float32) * self._powers(dim))
        return frequencies

    def _frequencies(self, dim: int) -> NDArray[np.float32]:
        powers = self._powers(dim)
        if self.yarn:
            return _scale_yarn(powers, self.theta, self.yarn)
        frequencies = np.float32(1) / powers / np.float32(self.factor)
        return _scale_llama3(frequencies, self.llama3) if self.llama3 else frequencies


def _kind(section: ConfigReader, style: str, names: Mapping[str, str]) -> str:
    key = "type" if section.get("rope_type") is None and section.get("type") else "rope_type"
    kind = section.get(key, "default")
    known = names.get(kind, kind) if isinstance(kind, str) else kind
    if known not in _KINDS:
        raise section.error(f"{style}.{key}", kind, " or ".join(repr(name) for name in _KINDS))
    return str(known)


def _truncates(section: ConfigReader) -> bool:
    """YaRN's `truncate`, of which null means false and an absent one true."""
    return section.flag("truncate", not section.has("truncate"))


def _partial(config: ConfigReader, section: ConfigReader, kind: str, default: float | None) -> float:
    """Return the part of a head that is rotated. A family without a `default` rotates whole heads, and takes no notice
    of the key unless scaling does."""
    key = "partial_rotary_factor"
    if default is None and kind == "default":
        return 1.0
    part = section.number(key, config.number(key, default or 1.0))
    if part > 1 or (default is None and part != 1):
        raise config.error(key, part, "1" if default is None else "more than 0 and at most 1")
    return part


def _times(factor: float, positions: int) -> int:
    return int(min(factor * positions, LARGEST_INTEGER))


def _table(
    frequencies: NDArray[np.float32], positions: int, magnitude: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    cos = np.empty((positions, frequencies.size), np.float32)
    sin = np.empty_like(cos)
    for begin in range(0, positions, _ROWS_AT_ONCE):
        rows = np.arange(begin, min(begin + _ROWS_AT_ONCE, positions), dtype=np.float32)
        angles = (rows[:, None] * frequencies).astype(np.float64)
        cos[begin : begin + rows.size] = np.cos(angles)
        sin[begin : begin + rows.size] = np.sin(angles)
    if magnitude != 1.0:
        cos *= np.float32(magnitude)
        sin *= np.float32(magnitude)
    return cos, sin


def _llama3(section: ConfigReader, trained_positions: int) -> Llama3Scaling:
    scaling = Llama3Scaling(
        section.number("factor"),
        section.number("low_freq_factor"),
        section.number("high_freq_factor"),
        trained_positions,
    )
    if scaling.high_freq_factor <= scaling.low_freq_factor:
        raise section.error(
            "high_freq_factor", scaling.high_freq_factor, f"more than low_freq_factor, {scaling.low_freq_factor}"
        )
    return scaling


def _scale_llama3(frequencies: NDArray[np.float32], by: Llama3Scaling) -> NDArray[np.float32]:
    low_wavelength = np.float32(by.original_max_position_embeddings / by.low_freq_factor)
    high_wavelength = np.float32(by.original_max_position_embeddings / by.high_freq_factor)
    factor = np.float32(by.factor)
    wavelengths = np.float32(2 * math.pi) / frequencies
    smooth = np.float32(by.original_max_position_embeddings) / wavelengths - np.float32(by.low_freq_factor)
    smooth = smooth / np.float32(by.high_freq_factor - by.low_freq_factor)
    scaled = np.where(wavelengths > low_wavelength, frequencies / factor, frequencies)
    between = (np.float32(1) - smooth) * scaled / factor + smooth * scaled
    medium = ~(wavelengths < high_wavelength) & ~(wavelengths > low_wavelength)
    return np.where(medium, between, scaled).astype(np.float32)


def _yarn(section: ConfigReader, trained_positions: int, max_positions: int, truncate: bool) -> YarnScaling:
    factor = section.number("factor", max_positions / trained_positions)

    def magnitude(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0

    default = magnitude(1.0)
    if section.get("mscale") and section.get("mscale_all_dim"):
        default = magnitude(section.number("mscale")) / magnitude(section.number("mscale_all_dim"))
    return YarnScaling(
        factor,
        section.number("beta_fast", 32.0),
        section.number("beta_slow", 1.0),
        section.number("attention_factor", default),
        truncate,
        trained_positions,
    )


def _scale_yarn(powers: NDArray[np.float32], theta: float, by: YarnScaling) -> NDArray[np.float32]:
    dim = 2 * powers.size

    def pair_that_turns(times: float) -> float:
        return dim * math.log(by.original_max_position_embeddings / (times * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair_that_turns(by.beta_fast), pair_that_turns(by.beta_slow)
    if by.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    high = high + 0.001 if low == high else high
    ramp = np.clip((np.arange(powers.size, dtype=np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    keep = np.float32(1) - ramp
    divided = np.float32(1) / (np.float32(by.factor) * powers)
    frequencies: NDArray[np.float32] = divided * (np.float32(1) - keep) + np.float32(1) / powers * keep
    return frequencies


def _longrope(section: ConfigReader, trained_positions: int, max_positions: int) -> LongRope:
    factor = section.number("factor", max_positions / trained_positions)
    default = math.sqrt(1 + math.log(factor) / math.log(trained_positions)) if factor > 1 else 1.0
    return LongRope(
        _divisors(section, "short_factor"),
        _divisors(section, "long_factor"),
        section.number("attention_factor", default),
        trained_positions,
    )


def _divisors(section: ConfigReader, key: str) -> tuple[float, ...]:
    values: Any = section.get(key)
    if not isinstance(values, list) or not all(type(v) in (int, float) and 0 < v < float("inf") for v in values):
        raise section.error(key, values, "a list of numbers above 0")
    return tuple(float(value) for value in values)
