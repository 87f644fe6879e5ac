"""Mean, deviation and ratio of repeated measurements; no dependency beyond the standard library."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


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


def ratio_of_means(
    a: Sequence[float], b: Sequence[float], confidence: float, run_deviation: float = 0.0, trim: float = 0.0
) -> Ratio:
    """Return how many times larger `b` is than `a`: Welch's interval on the logarithms of the positive samples.

    `trim` is the share of the smallest samples that is left out of either mean; the interval is then Yuen's (1974),
    from the variance of the samples winsorised on that side. `run_deviation` is a relative deviation between whole runs
    that the samples of one run cannot show (page placement, clocks, neighbours); its variance is added to that of both
    means.
    """
    logs_a, logs_b = ([math.log(value) for value in sorted(values)] for values in (a, b))
    difference = statistics.fmean(_kept(logs_b, trim)) - statistics.fmean(_kept(logs_a, trim))
    if len(a) < 2 or len(b) < 2:
        return Ratio(math.exp(difference), None, None)
    parts = [_variance_of_mean(logs, trim) for logs in (logs_a, logs_b)]
    within = sum(part for part, _ in parts)
    freedom = within**2 / sum(part**2 / degrees for part, degrees in parts) if within > 0 else 1e9
    half = math.hypot(
        student_quantile(0.5 + confidence / 2, freedom) * math.sqrt(within),
        statistics.NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(2) * run_deviation,
    )
    return Ratio(math.exp(difference), math.exp(difference - half), math.exp(difference + half))


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
