"""Choosing the next token from one row of logits: pure functions, deterministic for a given seed.

The order is that of transformers and onnxruntime-genai: temperature, then top-k, then top-p. Equal logits are ordered
by token id, so that a choice does not depend on how a machine's partition breaks ties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ConfigError, LpcError

FloatRow = npt.NDArray[np.floating]
Ids = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

DEFAULT_TEMPERATURE = 0.8
DEFAULT_TOP_K = 40
DEFAULT_TOP_P = 0.95

_GROUP = 32
_NUCLEUS_GUESS = 256


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen. The defaults are those of llama.cpp.

    `temperature` 0 is greedy (the most likely token, always), and then the others do not matter. `top_k` keeps the k
    most likely tokens (0: all), `top_p` the fewest most likely ones that together have at least this probability
    (1: all). `seed` None takes a fresh one.

    Raises ConfigError for a value out of its range.
    """

    temperature: float = DEFAULT_TEMPERATURE
    top_k: int = DEFAULT_TOP_K
    top_p: float = DEFAULT_TOP_P
    seed: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature is {self.temperature}; expected a number of 0 (greedy) or more")
        if self.top_k < 0:
            raise ConfigError(f"top_k is {self.top_k}; expected 0 (all tokens) or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; expected more than 0 and at most 1 (all tokens)")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more")

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0


class Sampler:
    """Sampling parameters with their random state; `seed` is the one in use, also where none was given."""

    def __init__(self, params: SamplingParams) -> None:
        self.params = params
        self.seed = params.seed if params.seed is not None else int(np.random.SeedSequence().generate_state(1)[0])
        self._rng = np.random.default_rng(self.seed)

    def choose(self, logits: FloatRow) -> int:
        """Return the next token id for `logits`, shape [vocab]; raises LpcError if they hold NaN or +infinity."""
        if self.params.greedy:
            return greedy_token(logits)
        return sample_token(logits, self.params, float(self._rng.random()))


def greedy_token(logits: FloatRow) -> int:
    """Return the id of the largest logit, the lowest id among equals.

    `logits`: float, shape [vocab]. Raises LpcError if the largest is not finite.
    """
    token = int(logits.argmax())
    _check_finite(float(logits[token]))
    return token


def sample_token(logits: FloatRow, params: SamplingParams, uniform: float) -> int:
    """Return the token id at quantile `uniform`, in [0, 1), of the distribution that `params` make of `logits`.

    `logits`: float, shape [vocab]. Raises LpcError if they hold NaN or +infinity.
    """
    if params.greedy:
        return greedy_token(logits)
    ids, probabilities = distribution(logits, params)
    cumulative = probabilities.cumsum()
    place = int(cumulative.searchsorted(uniform * cumulative[-1], side="right"))
    return int(ids[min(place, len(ids) - 1)])


def distribution(logits: FloatRow, params: SamplingParams) -> tuple[Ids, Probabilities]:
    """Return the tokens that may be chosen, shape [n] int64, and their probabilities, shape [n] float64, with sum 1.

    Most likely first when `top_k` or `top_p` restrict the choice, else in the order of their ids. `params` must not be
    greedy. Raises LpcError if `logits` (float, shape [vocab]) hold NaN or +infinity.
    """
    top = float(logits.max())
    _check_finite(top)
    if 0 < params.top_k < len(logits):
        ids = _largest(logits, params.top_k)
        weights = _weights(logits[ids], top, params.temperature)
        total = float(weights.sum())
        return (ids, weights / total) if params.top_p == 1 else _nucleus(ids, weights, total, params.top_p)
    weights = _weights(logits, top, params.temperature)
    total = float(weights.sum())
    if params.top_p == 1:
        return np.arange(len(logits), dtype=np.int64), weights / total
    ids = _largest(logits, min(_NUCLEUS_GUESS, len(logits)))
    while len(ids) < len(logits) and weights[ids].sum() < params.top_p * total:
        ids = _largest(logits, min(8 * len(ids), len(logits)))
    return _nucleus(ids, weights[ids], total, params.top_p)


def _largest(logits: FloatRow, count: int) -> Ids:
    """Ids of the `count` largest logits, largest first, equals by id."""
    ids = np.flatnonzero(logits >= _lower_bound(logits, count)) if count < len(logits) else np.arange(len(logits))
    order = np.argsort(-logits[ids], kind="stable")
    return ids[order[:count]].astype(np.int64, copy=False)


def _lower_bound(logits: FloatRow, count: int) -> np.floating:
    """A value that at least `count` logits reach, and few more.

    The maxima of disjoint groups are logits of their own, so `count` of them do; they are found in a fraction of the
    time that a partition of a whole vocabulary takes.
    """
    groups = len(logits) // _GROUP
    values = logits[: groups * _GROUP].reshape(_GROUP, groups).max(axis=0) if groups >= 4 * count else logits
    bound: np.floating = np.partition(values, len(values) - count)[len(values) - count]
    return bound


def _weights(logits: FloatRow, top: float, temperature: float) -> Probabilities:
    """Unnormalised probabilities: 1 for the largest logit."""
    kind = logits.dtype.type
    with np.errstate(over="ignore"):
        weights: Probabilities = np.exp((logits - kind(top)) / kind(temperature)).astype(np.float64)
    return weights


def _nucleus(ids: Ids, weights: Probabilities, total: float, top_p: float) -> tuple[Ids, Probabilities]:
    """The shortest prefix with at least `top_p` of `total`, normalised."""
    cumulative = weights.cumsum()
    keep = min(int(cumulative.searchsorted(top_p * total)) + 1, len(ids))
    return ids[:keep], weights[:keep] / cumulative[keep - 1]


def _check_finite(top: float) -> None:
    if not math.isfinite(top):
        raise LpcError(
            f"the model's largest logit is {top}, not a finite number: its weights or its arithmetic are broken; "
            "export it again, and check the source checkpoint"
        )
