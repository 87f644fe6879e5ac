"""Rotary position embedding: the frequencies that config.json asks for, as tables of cosine and sine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.config import ConfigReader

_KINDS = ("default", "linear", "llama3")
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Llama3Scaling:
    """Llama 3.1: long wavelengths divided by `factor`, short ones kept, a smooth passage between."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class Rope:
    """theta is the base of the wavelengths; `factor` divides every frequency (linear scaling)."""

    theta: float
    factor: float = 1.0
    llama3: Llama3Scaling | None = None

    @classmethod
    def from_config(cls, config: ConfigReader, max_positions: int) -> Rope:
        """Read rope_parameters (transformers 5) or rope_theta with rope_scaling; ConfigError for a kind not known."""
        style = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
        config.get("rope_parameters")
        section = config.section(style) or ConfigReader(config.path, {})
        if any(isinstance(value, dict) for value in config.get(style, {}).values()):
            raise config.error(style, config.get(style), "one set of parameters for all layers")
        key = "type" if section.get("rope_type") is None and section.get("type") else "rope_type"
        kind = section.get(key, "default")
        if kind not in _KINDS:
            raise config.error(f"{style}.{key}", kind, " or ".join(repr(name) for name in _KINDS))
        section.refuse_unread()
        theta = section.number("rope_theta", config.number("rope_theta", 10000.0))
        if kind == "linear":
            return cls(theta, section.number("factor"))
        if kind == "llama3":
            trained = section.get("original_max_position_embeddings", max_positions)
            trained = config.integer("original_max_position_embeddings", trained)
            return cls(theta, llama3=_llama3(section, trained))
        return cls(theta)

    def tables(self, positions: int, head_dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return cosine and sine, float32 [positions, head_dim / 2].

        Angles are rounded to float32 as transformers has them; cosine and sine of them are correctly rounded.
        """
        frequencies = self._frequencies(head_dim)
        cos = np.empty((positions, head_dim // 2), np.float32)
        sin = np.empty_like(cos)
        for begin in range(0, positions, _ROWS_AT_ONCE):
            rows = np.arange(begin, min(begin + _ROWS_AT_ONCE, positions), dtype=np.float32)
            angles = (rows[:, None] * frequencies).astype(np.float64)
            cos[begin : begin + rows.size] = np.cos(angles)
            sin[begin : begin + rows.size] = np.sin(angles)
        return cos, sin

    def _frequencies(self, head_dim: int) -> NDArray[np.float32]:
        exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
        powers = np.power(np.float64(self.theta), exponents.astype(np.float64)).astype(np.float32)
        frequencies = np.float32(1) / powers / np.float32(self.factor)
        return _scale_llama3(frequencies, self.llama3) if self.llama3 else frequencies


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
