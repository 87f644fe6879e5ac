"""A token's time, played through: the reader ahead by as much as the ring holds, one part computed after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKENS = 4


@dataclass(frozen=True)
class Step:
    """A part in order of use: seconds on the bus (0: it is in memory), bytes in the ring, seconds to compute."""

    bus_seconds: float
    ring_bytes: int
    compute_seconds: float


def token_seconds(steps: Sequence[Step], ring_bytes: int) -> float:
    """Seconds a token of the steady state.

    The reader takes parts in order, across the end of a token into the next one, as soon as the ring has room for the
    decoded bytes; a part's room comes back when it has been used.
    """
    ends = list(_token_ends(steps, ring_bytes))
    return ends[-1] - ends[-2]


def _token_ends(steps: Sequence[Step], ring_bytes: int) -> Iterator[float]:
    reader, worker = 0.0, 0.0  # when each is free
    in_ring: deque[tuple[float, int]] = deque()  # (when it was used, bytes), oldest first
    used = 0
    for _ in range(_TOKENS):
        for step in steps:
            if step.ring_bytes:
                while in_ring and used + step.ring_bytes > ring_bytes:
                    freed, size = in_ring.popleft()
                    reader, used = max(reader, freed), used - size
            reader += step.bus_seconds
            worker = max(worker, reader if step.bus_seconds else 0.0) + step.compute_seconds
            if step.ring_bytes:
                in_ring.append((worker, step.ring_bytes))
                used += step.ring_bytes
        yield worker
