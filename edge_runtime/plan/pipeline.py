"""A token's time, played through: the reader ahead by as much as the ring holds, one blob computed after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKENS = 4


@dataclass(frozen=True)
class Step:
    """A blob in order of use: seconds on the bus (0: it is in memory), bytes in the ring, seconds to compute."""

    bus_seconds: float
    ring_bytes: int
    compute_seconds: float


def token_seconds(steps: Sequence[Step], ring_bytes: int) -> float:
    """Seconds a token of the steady state.

    The reader takes blobs in order, across the end of a token into the next one, as soon as there is room; a blob's
    room comes back when it has been used. It is never less than the larger of bus and compute seconds.
    """
    ends = list(_token_ends(steps, ring_bytes))
    return ends[-1] - ends[-2]


def _token_ends(steps: Sequence[Step], ring_bytes: int) -> Iterator[float]:
    reader, worker = 0.0, 0.0  # when each is free
    in_ring: deque[tuple[float, int]] = deque()  # (when it was used, bytes), oldest first
    used = 0
    for _ in range(_TOKENS):
        for step in steps:
            arrived = 0.0
            if step.bus_seconds:
                while in_ring and used + step.ring_bytes > ring_bytes:
                    freed, size = in_ring.popleft()
                    reader, used = max(reader, freed), used - size
                reader += step.bus_seconds
                arrived = reader
            worker = max(worker, arrived) + step.compute_seconds
            if step.bus_seconds:
                in_ring.append((worker, step.ring_bytes))
                used += step.ring_bytes
        yield worker
