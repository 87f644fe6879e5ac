"""The exact search for the best state of every layer.

Objective: the smallest max(B, C), then the smallest B, then the least memory, where for one token
  B = bus seconds: stored bytes of the streamed layers / bus, and a constant;
  C = compute seconds: per layer `stored_seconds` (streamed or resident) or `decoded_seconds`, and a constant;
subject to memory <= budget, where memory = stored bytes of resident layers + decoded bytes of decoded layers + the ring
  `ring_parts` x the largest part (what is decoded and multiplied in one piece) of the classes that stream, or that stay
  compressed and are not multiplied as they are stored.

Layers of equal decoded size and equal gain (stored_seconds - decoded_seconds) form a class. Exchange argument: if a
class has n decoded layers, they may be its n with the largest stored size: swapping a decoded layer against a larger
one that is resident frees memory and changes neither B nor C; against a larger one that is streamed, it lowers B and
changes neither C nor memory. So C depends on the numbers alone; they are enumerated. What remains is to choose, among
the layers not decoded, which stay in memory: the largest sum of stored bytes that fits, a subset sum, solved exactly on
4096-byte pages (a blob's own alignment). Enumeration is by lower bound, so few subset sums are solved.

Exact up to two limits, both far off real models: gains that differ by less than a hundredth are one class, and beyond
100 000 combinations or 16 GiB of slack the grid becomes coarser.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

PAGE = 4096

_MOST_COMBINATIONS = 100_000
_MOST_PAGES = 1 << 22
_SAME_GAIN = 0.01  # relative
_NO_GAIN = -(10**9)  # in place of a gain's logarithm


@dataclass(frozen=True)
class Item:
    """A layer. Sizes in bytes; its largest part in the ring if streamed and if resident (0: multiplied as stored)."""

    stored: int
    decoded: int
    stored_seconds: float
    decoded_seconds: float
    streamed_part: int
    resident_part: int

    @property
    def gain(self) -> float:
        """Compute seconds a token that keeping the layer decoded saves."""
        return self.stored_seconds - self.decoded_seconds


@dataclass(frozen=True)
class Problem:
    """Layers in order of use, bytes for layers and ring, bus in bytes/s, constant seconds, parts in the ring."""

    items: Sequence[Item]
    budget: int
    bus: float
    bus_seconds: float = 0.0
    compute_seconds: float = 0.0
    ring_parts: int = 3


@dataclass(frozen=True)
class Choice:
    """A state ("decoded", "resident" or "streamed") for each item, and what follows from them."""

    states: tuple[str, ...]
    bus_seconds: float
    compute_seconds: float
    memory: int

    @property
    def seconds(self) -> float:
        """The bound on the time of a token."""
        return max(self.bus_seconds, self.compute_seconds)

    @property
    def rank(self) -> tuple[float, float, int]:
        """What is minimised."""
        return self.seconds, self.bus_seconds, self.memory


@dataclass(frozen=True)
class Class:
    """Items (by index) that are alike, those of the largest stored size first, and what they need of the ring."""

    members: tuple[int, ...]
    streamed_part: int
    resident_part: int
    may_decode: bool


@dataclass(frozen=True, order=True)
class _Candidate:
    bound: float
    bus_bound: float
    slack: int = field(compare=False)
    compute: float = field(compare=False)
    decoded: tuple[int, ...] = field(compare=False)  # indices of items
    kept: tuple[int, ...] = field(compare=False)
    pool: tuple[int, ...] = field(compare=False)  # resident or streamed


def pages(count: int) -> int:
    """`count` bytes rounded up to whole pages."""
    return -(-count // PAGE) * PAGE


def classes_of(items: Sequence[Item], tolerance: float = _SAME_GAIN) -> list[Class]:
    """Group the items; `tolerance` is the relative difference of gain that is neglected."""
    groups: dict[tuple[int, int, int, int], list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        worth = item.gain > tolerance * item.stored_seconds
        step = round(math.log(item.gain) / math.log1p(tolerance)) if worth else _NO_GAIN
        groups[item.decoded, step, item.streamed_part, item.resident_part].append(index)
    return [
        Class(
            tuple(sorted(members, key=lambda index: (-items[index].stored, index))),
            pages(items[members[0]].streamed_part),
            pages(items[members[0]].resident_part),
            key[1] != _NO_GAIN,
        )
        for key, members in groups.items()
    ]


def ring_bytes(streaming: Sequence[Class], compressed: Sequence[Class], ring_parts: int) -> int:
    """Bytes of a ring of so many parts, for the classes with `streaming` and with `compressed` resident layers."""
    parts = [group.streamed_part for group in streaming] + [group.resident_part for group in compressed]
    return ring_parts * max(parts, default=0)


def ring_of(problem: Problem, states: Sequence[str]) -> int:
    """Bytes of the ring that these states need."""
    groups = classes_of(problem.items)
    streaming = [g for g in groups if any(states[index] == "streamed" for index in g.members)]
    compressed = [g for g in groups if any(states[index] != "decoded" for index in g.members)]
    return ring_bytes(streaming, compressed, problem.ring_parts)


def evaluate(problem: Problem, states: Sequence[str]) -> Choice:
    """What follows from `states`, one for each item."""
    bus, compute, memory = problem.bus_seconds, problem.compute_seconds, ring_of(problem, states)
    for item, state in zip(problem.items, states, strict=True):
        compute += item.decoded_seconds if state == "decoded" else item.stored_seconds
        bus += item.stored / problem.bus if state == "streamed" else 0.0
        memory += {"decoded": pages(item.decoded), "resident": pages(item.stored), "streamed": 0}[state]
    return Choice(tuple(states), bus, compute, memory)


def smallest(problem: Problem) -> Choice:
    """The assignment that needs the least memory, whatever the budget and however slow."""
    groups = classes_of(problem.items)
    choices = []
    for uniform in itertools.product(("streamed", "resident", "decoded"), repeat=len(groups)):
        states = [""] * len(problem.items)
        for group, state in zip(groups, uniform, strict=True):
            for index in group.members:
                states[index] = state
        choices.append(evaluate(problem, states))
    return min(choices, key=lambda choice: (choice.memory, *choice.rank))


def best(problem: Problem) -> Choice | None:
    """The best assignment within the budget, or None if even the smallest does not fit."""
    found: Choice | None = None
    for candidate in sorted(_candidates(problem)):
        if found is not None and candidate.bound > found.seconds:
            break
        if found is not None and (candidate.bound, candidate.bus_bound) > (found.seconds, found.bus_seconds):
            continue
        choice = _solve(problem, candidate)
        if choice.memory <= problem.budget and (found is None or choice.rank < found.rank):
            found = choice
    return found


def _candidates(problem: Problem) -> Iterator[_Candidate]:
    groups, counts = _grid(problem.items)
    for streams in itertools.product((False, True), repeat=len(groups)):
        for decoded in itertools.product(*counts):
            candidate = _candidate(problem, groups, streams, decoded)
            if candidate is not None:
                yield candidate


def _grid(items: Sequence[Item]) -> tuple[list[Class], list[list[int]]]:
    """The classes and, for each, the numbers of decoded layers to try."""
    tolerance, step = _SAME_GAIN, 1
    while True:
        groups = classes_of(items, tolerance)
        counts = [
            sorted({*range(0, len(group.members) + 1, step), len(group.members)}) if group.may_decode else [0]
            for group in groups
        ]
        if 2 ** len(groups) * math.prod(map(len, counts)) <= _MOST_COMBINATIONS:
            return groups, counts
        tolerance, step = tolerance * 4, step * 2


def _candidate(
    problem: Problem, groups: Sequence[Class], streams: Sequence[bool], counts: Sequence[int]
) -> _Candidate | None:
    """One combination: how many of each class are decoded, which classes may stream. None if it cannot fit."""
    items = problem.items
    decoded: list[int] = []
    kept: list[int] = []
    pool: list[int] = []
    streaming: list[Class] = []
    compressed: list[Class] = []
    for group, stream, count in zip(groups, streams, counts, strict=True):
        rest = group.members[count:]
        if stream and not rest:
            return None  # the same as not streaming
        decoded += group.members[:count]
        (pool if stream else kept).extend(rest)
        streaming += [group] if stream else []
        compressed += [group] if rest else []
    memory = ring_bytes(streaming, compressed, problem.ring_parts) + sum(
        pages(items[index].decoded) for index in decoded
    )
    slack = problem.budget - memory - sum(pages(items[index].stored) for index in kept)
    if slack < 0:
        return None
    pool_bytes = sum(items[index].stored for index in pool)
    bus = problem.bus_seconds + max(0, pool_bytes - slack) / problem.bus
    compute = problem.compute_seconds + sum(item.stored_seconds for item in items)
    compute -= sum(items[index].gain for index in decoded)
    return _Candidate(max(bus, compute), bus, slack, compute, tuple(decoded), tuple(kept), tuple(pool))


def _solve(problem: Problem, candidate: _Candidate) -> Choice:
    states = ["streamed"] * len(problem.items)
    sizes = [pages(problem.items[index].stored) for index in candidate.pool]
    for index in candidate.decoded:
        states[index] = "decoded"
    for index in (*candidate.kept, *(candidate.pool[position] for position in subset_sum(sizes, candidate.slack))):
        states[index] = "resident"
    return evaluate(problem, states)


def subset_sum(sizes: Sequence[int], limit: int) -> list[int]:
    """Positions of the sizes (whole pages) whose sum is the largest that is at most `limit`."""
    if sum(sizes) <= limit:
        return list(range(len(sizes)))
    grain = PAGE * max(1, -(-(limit // PAGE) // _MOST_PAGES))
    weights = [-(-size // grain) for size in sizes]
    mask = (1 << (limit // grain + 1)) - 1
    reachable = [1]  # bit b: some of the sizes so far add up to b grains
    for weight in weights:
        reachable.append((reachable[-1] | reachable[-1] << weight) & mask)
    total = reachable[-1].bit_length() - 1
    chosen = []
    for position in range(len(sizes) - 1, -1, -1):
        if not reachable[position] >> total & 1:
            chosen.append(position)
            total -= weights[position]
    return chosen[::-1]
