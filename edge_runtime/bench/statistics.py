"""Mean, deviation and ratio of repeated measurements; no dependency beyond the standard library."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

TRIM = 0.25
"""Share of the slowest samples left out where there are enough: other programs only slow down."""

TRIM_FROM = 8
"""Samples, of a run or rounds of it, from which on the slowest are left out."""

LEAST_ROUNDS = 3
"""From so many rounds on, the spread between them is that of the mean."""

_MANY = 1e9


@dataclass(frozen=True)
class Summary:
    """What n samples are like; `deviation` is the sample standard deviation, None for one sample."""

    n: int
    mean: float
    deviation: float | None
    median: float
    minimum: float
    maximum: float

    @property
    def relative_deviation(self) -> float | None:
        """Deviation as a share of the mean."""
        return None if self.deviation is None or self.mean <= 0 else self.deviation / self.mean


@dataclass(frozen=True)
class Ratio:
    """Ratio of two geometric means, and the interval that holds it with the asked confidence (None: one sample)."""

    ratio: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Estimate:
    """Mean of the logarithms of a run's samples, the variance of that mean and its degrees of freedom.

    `variance` is None where one sample shows none. `deviation` is the relative deviation between whole runs that the
    samples of one cannot show.
    """

    log_mean: float
    variance: float | None
    freedom: float
    deviation: float = 0.0

    def half_width(self, confidence: float) -> float | None:
        """Half of the interval of the mean itself, as a logarithm (0.03: about 3 %), without `deviation`."""
        if self.variance is None:
            return None
        return student_quantile(0.5 + confidence / 2, self.freedom) * math.sqrt(self.variance)


def summarise(samples: Sequence[float]) -> Summary:
    """Return the summary of at least one sample."""
    return Summary(
        n=len(samples),
        mean=statistics.fmean(samples),
        deviation=statistics.stdev(samples) if len(samples) > 1 else None,
        median=statistics.median(samples),
        minimum=min(samples),
        maximum=max(samples),
    )


def estimate(rounds: Sequence[Sequence[float]], deviation: float = 0.0) -> Estimate:
    """Return the mean of positive samples on a logarithmic scale, from rounds of at least one sample each.

    Of LEAST_ROUNDS or more rounds each counts as one value, the mean of its samples without the slowest: samples of one
    round (one process) are alike in more than the thing measured, and their own spread says too little. Of fewer, the
    samples are the values. Of TRIM_FROM values the slowest are left out, with Yuen's variance (1974): that of the
    values winsorised on that side.
    """
    values = [sample for samples in rounds for sample in _logs(samples)]
    if len(rounds) >= LEAST_ROUNDS:
        values = [statistics.fmean(_kept(_logs(samples), TRIM)) for samples in rounds]
    values, trim = sorted(values), TRIM if len(values) >= TRIM_FROM else 0.0
    mean = statistics.fmean(_kept(values, trim))
    if len(values) < 2:
        return Estimate(mean, None, 0.0, deviation)
    variance, freedom = _variance_of_mean(values, trim)
    return Estimate(mean, variance, float(freedom), deviation)


def ratio(a: Estimate, b: Estimate, confidence: float) -> Ratio:
    """Return how many times larger `b` is than `a`: Welch's interval, widened by both deviations."""
    difference = b.log_mean - a.log_mean
    if a.variance is None or b.variance is None:
        return Ratio(math.exp(difference), None, None)
    within = a.variance + b.variance
    freedom = within**2 / (a.variance**2 / a.freedom + b.variance**2 / b.freedom) if within > 0 else _MANY
    half = math.hypot(
        student_quantile(0.5 + confidence / 2, freedom) * math.sqrt(within),
        statistics.NormalDist().inv_cdf(0.5 + confidence / 2) * math.hypot(a.deviation, b.deviation),
    )
    return Ratio(math.exp(difference), math.exp(difference - half), math.exp(difference + half))


def _logs(samples: Sequence[float]) -> list[float]:
    return [math.log(value) for value in sorted(samples)]


def _kept(ascending: list[float], trim: float) -> list[float]:
    """The samples without the smallest ones; two at least stay, where there are two."""
    return ascending[min(int(trim * len(ascending)), max(0, len(ascending) - 2)) :]


def _variance_of_mean(ascending: list[float], trim: float) -> tuple[float, int]:
    """Variance of the mean of the samples that are kept, and its degrees of freedom."""
    kept = _kept(ascending, trim)
    winsorised = [kept[0]] * (len(ascending) - len(kept)) + kept
    count = len(kept)
    return statistics.variance(winsorised) * (len(ascending) - 1) / (count * (count - 1)), count - 1


def student_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t distribution, for probabilities from 0.5 up and any positive degrees of freedom."""
    low, high = 0.0, 2.0
    while _student_cdf(high, freedom) < probability:
        low, high = high, high * 2
    for _ in range(100):
        middle = (low + high) / 2
        if _student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_cdf(t: float, freedom: float) -> float:
    """The distribution function for t >= 0, through the regularised incomplete beta function."""
    if freedom > 1e6:
        return statistics.NormalDist().cdf(t)
    return 1 - 0.5 * _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) by its continued fraction (Abramowitz and Stegun 26.5.8), evaluated with Lentz's method."""
    if x <= 0 or x >= 1:
        return min(1.0, max(0.0, x))
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    tiny, fraction, c, d = 1e-300, 1.0, 1.0, 0.0
    for step in range(400):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + term * d or tiny)
        c = 1 + term / c or tiny
        fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * (fraction - 1)
