"""Board profiles in use: loaded with this package's errors, and turned into the figures and the budget of a plan."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from boards import Figure, Profile, ProfileError, load
from boards.detect import detect
from edge_runtime.errors import BoardError
from edge_runtime.facts import memory_figures
from edge_runtime.plan.figures import Figures, Rate

_COPY_READS = 2  # a copy moves each byte twice
_UNMEASURED_SHARE = 0.5  # of the theoretical bandwidth, where nobody has measured
_ENOUGH_READS = 3  # for a median
_UNMEASURED_MEMORY = 0.8  # of the capacity


def load_profile(name_or_path: str | Path) -> Profile:
    """Return the profile of that id, or in that file; BoardError if there is none or it is malformed."""
    try:
        return load(name_or_path)
    except ProfileError as error:
        raise BoardError(str(error)) from error


def figures_of(profile: Profile, storage: str | None = None, threads: int | None = None) -> Figures:
    """Return what a plan needs of a profile, the best known first, guesses marked as such.

    `storage` names the bus (default: the fastest of which a figure is known); `threads` limits the figures by threads
    (default: the board's cores). BoardError if the profile knows nothing of `storage`.
    """
    cores = profile.get("cpu.cores")
    count = threads or (cores.value if cores else os.cpu_count() or 1)
    return Figures.assumed(
        profile.id,
        count,
        dram=_dram(profile, count),
        bus=_bus(profile, storage),
        decode=_decode(profile, count),
    )


def figures_for(
    board: str | Path | None, *, storage: str | None = None, threads: int | None = None, bus_limit: float | None = None
) -> Figures:
    """Return the figures to plan with on this machine: of the named profile or file, or of the board that this is.

    `threads` None or 0: the processors that this process may use. `bus_limit` in bytes per second, if slower than the
    bus. What is not known is assumed, and marked so. BoardError for a profile that cannot be used.
    """
    count = threads or len(os.sched_getaffinity(0))
    profile = detect().profile if board is None else load_profile(board)
    figures = Figures.assumed("this machine", count) if profile is None else figures_of(profile, storage, count)
    return limited(figures, bus_limit)


def limited(figures: Figures, bus_limit: float | None) -> Figures:
    """Return the figures with a bus of at most `bus_limit` bytes per second."""
    if bus_limit is None or bus_limit >= figures.bus.bytes_per_s:
        return figures
    return replace(figures, bus=Rate(bus_limit, "given", "--bus-limit"))


def budget_of(profile: Profile) -> tuple[int, str]:
    """Return the memory that a model may take on the board, in bytes, and where the figure is from.

    The most that anybody saw available there, or a share of the capacity, less the reserve. BoardError if neither is
    known.
    """
    available = profile.all("memory.available")
    if available:
        most = max(available, key=lambda figure: figure.bytes)
        return max(1, most.bytes - memory_figures().reserve_bytes), f"available there: {most.kind}, {most.source}"
    capacities = profile.capacities()
    if not capacities:
        raise BoardError(f"{profile.id}: neither memory.available nor memory.capacity is known; give --memory-budget")
    budget = int(min(capacities) * _UNMEASURED_MEMORY) - memory_figures().reserve_bytes
    return budget, f"assumed: {_UNMEASURED_MEMORY:.0%} of the capacity, less a reserve"


def _dram(profile: Profile, threads: int) -> Rate | None:
    """Reading: measured with the most threads up to `threads`, else twice a measured copy, else half the theory."""
    reads = [figure for figure in profile.all("memory.cpu_read") if figure.details["threads"] <= threads]
    if reads:
        best = _fastest(reads)
        used = best.details["threads"]
        more = f" ({used} of {threads} threads: more may read faster)" if used < threads and _alone(reads) else ""
        return Rate(best.bytes_per_s, best.kind, best.source + more)
    theory = profile.get("memory.bandwidth")
    copies = profile.all("memory.cpu_copy")
    if copies:
        copy = _fastest(copies)
        rate = copy.bytes_per_s * _COPY_READS
        rate = min(rate, theory.bytes_per_s) if theory else rate
        used = f"{copy.details['threads']} of {threads} threads: more may read faster"
        return Rate(rate, "derived", f"twice the copy rate, which is {copy.kind}: {copy.source} ({used})")
    if theory:
        return Rate(theory.bytes_per_s * _UNMEASURED_SHARE, "derived", f"half of the theoretical: {theory.source}")
    return None


def _bus(profile: Profile, storage: str | None) -> Rate | None:
    names = sorted({name.split(".")[1] for name in profile.figures if name.startswith("storage.")})
    known = {name: rate for name in names if (rate := _storage(profile, name)) is not None}
    if storage is None:
        return max(known.values(), key=lambda rate: rate.bytes_per_s, default=None)
    if storage not in known:
        raise BoardError(
            f"{profile.id}: storage is {storage!r}; its profile has figures of {', '.join(known) or 'none'}"
        )
    return known[storage]


def _storage(profile: Profile, name: str) -> Rate | None:
    """The median of reads like the layer store's, else the fastest seen of large blocks, else the theoretical rate.

    The fastest of many samples would promise more than any long run reaches.
    """
    alike = [x for x in profile.all(f"storage.{name}.read") if _like_the_store(x)]
    if len(alike) >= _ENOUGH_READS:
        rate = statistics.median(figure.bytes_per_s for figure in alike)
        return Rate(rate, alike[0].kind, f"{name}: median of {len(alike)} reads; {alike[0].source}")
    reads = [x for x in profile.all(f"storage.{name}.read") if x.details.get("block_bytes", 1 << 20) >= 1 << 16]
    if reads:
        best = _fastest(reads)
        return Rate(best.bytes_per_s, best.kind, f"{name}: {best.source}")
    theory = profile.get(f"storage.{name}.bandwidth")
    return Rate(theory.bytes_per_s, theory.kind, f"{name}, theoretical: {theory.source}") if theory else None


def _like_the_store(figure: Figure) -> bool:
    """Whether a read is what the store's are: direct, of about a MiB, a few in flight."""
    block, depth = figure.details.get("block_bytes", 0), figure.details.get("queue_depth", 0)
    return bool(figure.details.get("direct")) and 1 << 18 <= block <= 1 << 22 and 2 <= depth <= 8


def _decode(profile: Profile, threads: int) -> dict[str, Rate]:
    rates: dict[str, Rate] = {}
    for figure in sorted(profile.all("decode.rates"), key=lambda figure: figure.bytes_per_s):
        if figure.details["threads"] <= threads:
            rates[figure.details["codec"]] = Rate(figure.bytes_per_s, figure.kind, figure.source)
    return rates


def _fastest(figures: Iterable[Figure]) -> Figure:
    return max(figures, key=lambda figure: figure.bytes_per_s)


def _alone(reads: Sequence[Figure]) -> bool:
    """Whether only one number of threads was tried."""
    return len({figure.details["threads"] for figure in reads}) == 1
