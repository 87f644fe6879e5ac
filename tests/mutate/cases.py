"""A case: which input, which mutations in which order, and how it is tried. Everything follows from its number."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

from mutate.verdict import Verdict

_MOST_STEPS = 6

Mutator = Callable[[Path, random.Random], str]
"""Changes an input below a folder, and returns what it did; NotApplicable if it finds nothing to change."""


Weights = Mapping[str, int]
Mutators = Mapping[str, tuple[Mutator, int]]
"""By name, with how often each is chosen."""


class NotApplicable(Exception):  # noqa: N818 (no error: the mutation is left out)
    """The input has nothing that this mutation could change, for another one has taken it away."""


@dataclass(frozen=True)
class Step:
    """One mutation: its name, and the seed of what it chooses."""

    mutator: str
    seed: int


@dataclass(frozen=True)
class Case:
    """`sealed_anew`: hashes and checksums are made right afterwards; `manner` says how the input is used."""

    kind: str
    seed: int
    number: int
    base: str
    steps: tuple[Step, ...]
    sealed_anew: bool
    manner: str

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.seed}-{self.number}"

    def having(self, steps: tuple[Step, ...]) -> Case:
        """The same case with other mutations."""
        return replace(self, steps=steps)


class Kind(Protocol):
    """A kind of input: its unmutated bases, its mutators, the manners of its use, and the judge."""

    name: ClassVar[str]
    mutators: ClassVar[Mutators]
    manners: ClassVar[Weights]
    bases: tuple[str, ...]

    def prepare(self, place: Path) -> None:
        """Make the bases below `place`, and try them unmutated; AssertionError if they do not work."""

    def attempt(self, case: Case, place: Path) -> Verdict:
        """Make the case's input in the empty folder `place`, use it, and judge."""

    def script(self, case: Case) -> str:
        """The shell command that uses the kept input, `input`, in the same manner."""


def planned(kind: Kind, seed: int, number: int) -> Case:
    """Return a case by its number."""
    rng = random.Random(f"{kind.name}/{seed}/{number}")
    names = list(kind.mutators)
    weights = [weight for _, weight in kind.mutators.values()]
    count = 1
    while count < _MOST_STEPS and rng.random() < 0.35:
        count += 1
    steps = tuple(Step(name, rng.getrandbits(48)) for name in rng.choices(names, weights, k=count))
    manner = rng.choices(list(kind.manners), list(kind.manners.values()))[0]
    return Case(kind.name, seed, number, rng.choice(kind.bases), steps, rng.random() < 0.5, manner)


def mutate(kind: Kind, case: Case, folder: Path) -> list[str]:
    """Apply the case's mutations to `folder`; returns what was done."""
    done = []
    for step in case.steps:
        mutator, _ = kind.mutators[step.mutator]
        try:
            done.append(f"{step.mutator}: {mutator(folder, random.Random(step.seed))}")
        except NotApplicable:
            continue
    return done


def smallest(kind: Kind, case: Case, fails: Callable[[Case], bool]) -> Case:
    """Drop mutations one by one as long as the case still fails."""
    steps = list(case.steps)
    for step in list(steps):
        rest = [other for other in steps if other is not step]
        if rest and fails(case.having(tuple(rest))):
            steps = rest
    return case.having(tuple(steps))
