"""Which of two results is faster, and whether that is more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_runtime.bench.results import Result
from edge_runtime.bench.samples import CONFIDENCE, Sample, sample
from edge_runtime.bench.statistics import ratio, summarise
from edge_runtime.bench.summing import NOISE_LIMIT, busy_share
from edge_runtime.io.printable import printable
from edge_runtime.io.sheet import Note, Sheet, Tone

Verdict = Literal["faster", "slower", "no difference", "unknown"]

MINIMUM = 0.02
"""Differences below this are not called one, however sure: nobody can use them."""

WIDE = 1.1
"""Intervals wider than this factor to either side are warned of."""


@dataclass(frozen=True)
class Comparison:
    """One test in two results. `ratio` is B's speed over A's; `low` and `high` hold it with the confidence."""

    test: str
    a_tokens_per_s: float
    b_tokens_per_s: float
    ratio: float
    low: float | None
    high: float | None
    verdict: Verdict
    warnings: tuple[str, ...]


def compare(a: Result, b: Result, *, confidence: float = CONFIDENCE, minimum: float = MINIMUM) -> list[Comparison]:
    """Return a comparison for each test that both results have.

    The confidence is shared out among the tests (Bonferroni), so that it holds for all verdicts together.
    """
    others = {test.identity: test for test in b.tests if test.repetitions}
    pairs = [(test, others[test.identity]) for test in a.tests if test.repetitions and test.identity in others]
    each = 1 - (1 - confidence) / max(1, len(pairs))
    before = busy_share(a), busy_share(b)
    return [_compare_test(sample(test, before[0]), sample(other, before[1]), test.label, each, minimum)
            for test, other in pairs]  # fmt: skip


def _compare_test(a: Sample, b: Sample, name: str, confidence: float, minimum: float) -> Comparison:
    found = ratio(a.estimate, b.estimate, confidence)
    verdict: Verdict = "no difference"
    if found.low is None or found.high is None or not (a.alone and b.alone):
        verdict = "unknown"  # one repetition, or others had the machine
    elif found.low > 1 and found.ratio > 1 + minimum:
        verdict = "faster"
    elif found.high < 1 and found.ratio < 1 - minimum:
        verdict = "slower"
    return Comparison(
        test=name,
        a_tokens_per_s=a.tokens_per_s,
        b_tokens_per_s=b.tokens_per_s,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        verdict=verdict,
        warnings=tuple(_noise(a, b, found.low, found.high)),
    )


def _noise(a: Sample, b: Sample, low: float | None, high: float | None) -> list[str]:
    warnings = []
    for name, found in (("A", a), ("B", b)):
        spread = summarise(found.speeds).relative_deviation
        if spread is None:
            warnings.append(f"{name} has one repetition: measure with -r 5 or more")
        elif spread > NOISE_LIMIT:
            warnings.append(f"{name} is noisy: its repetitions deviate by {spread:.0%}")
        if not found.alone:
            warnings.append(
                f"{name} is disturbed: {found.disturbed} of {found.count} repetitions waited for other programs: "
                "measure it again"
            )
    if low is not None and high is not None and high / low > WIDE**2:
        seen = (high / low) ** 0.5 - 1
        warnings.append(
            f"only a difference above {seen:.0%} would be found: quieten the machine, or measure with --precision"
        )
    return warnings


def differences(a: Result, b: Result) -> list[str]:
    """Return what else differs between two results, in words: a ratio may come from there."""
    here, there = _told(a), _told(b)
    found = [f"{name}: {_short(here[name])} -> {_short(there[name])}" for name in here if here[name] != there[name]]
    if a.check.token_ids != b.check.token_ids:
        found.append("the generated token ids differ: the two did not do the same work")
    return found


def _told(result: Result) -> dict[str, object]:
    """What speeds may come from, by its place in a result."""
    environment, build, model = result.environment, result.build, result.model
    return {
        "environment.cpu": environment.cpu, "environment.governor": environment.governor,
        "environment.power_mode": environment.power_mode, "environment.kernel": environment.kernel,
        "environment.packages": environment.packages, "board.id": result.board.id, "build.isa": build.isa,
        "build.commit": build.commit, "build.library_sha256": build.library_sha256, "model.name": model.name,
        "model.manifest_sha256": model.manifest_sha256,
    }  # fmt: skip


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


_TONES: dict[Verdict, Tone] = {"faster": "good", "slower": "bad"}


def sheet(comparisons: list[Comparison], notes: list[str]) -> Sheet:
    """Return the comparison for people."""
    parts = []
    for item in comparisons:
        interval = "" if item.low is None else f" [{item.low:.3f}, {item.high:.3f}]"
        line = (
            f"{item.test}: {item.a_tokens_per_s:.2f} -> {item.b_tokens_per_s:.2f} tokens/s, "
            f"ratio {item.ratio:.3f}{interval}: {item.verdict}"
        )
        parts.append(Note(printable(line), _TONES.get(item.verdict, "")))
        parts += [Note(printable(f"  warning: {warning}"), "warning") for warning in item.warnings]
    return Sheet([*parts, *(Note(printable(f"also different: {note}")) for note in notes)])
