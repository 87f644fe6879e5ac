"""How much memory there is: MemAvailable, the limits of control groups, and what this process has taken.

MemFree is never used: it leaves out what the page cache gives back.
"""

from __future__ import annotations

import re
import resource
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import BoardError, BudgetError
from edge_runtime.facts import memory_figures
from edge_runtime.io.units import format_allowed, format_needed

_MEMINFO = re.compile(r"^(\w+):\s+(\d+) kB", re.MULTILINE)
_NO_LIMIT = 1 << 60  # cgroup v1 writes about 2^63 where there is no limit
_ROOT = Path("/")


@dataclass(frozen=True)
class GroupLimit:
    """What a control group lets its processes take together, and what they use and cannot drop, in bytes.

    `file` says so; `consequence` is what the kernel does to a process that takes more.
    """

    limit: int
    used: int
    file: Path
    consequence: str

    @property
    def room(self) -> int:
        """Bytes left."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True)
class Available:
    """What this process may take, in bytes: `mem_available` of the machine, and what limits leave, where there are any.

    `cgroup_room` is what its control groups leave, `address_room` what is left of its address space.
    """

    mem_available: int
    cgroup_room: int | None
    address_room: int | None = None

    @property
    def bytes(self) -> int:
        """The smallest of them."""
        limits = (self.cgroup_room, self.address_room)
        return min([self.mem_available, *(room for room in limits if room is not None)])


def available(root: Path = _ROOT) -> Available:
    """Read /proc/meminfo and the control groups of this process below `root`; the system's own also limits addresses.

    The provider looks at the same for a session without options (native/base/machine_memory.cc).
    Raises BoardError where /proc/meminfo has no MemAvailable (kernels before 3.14, or no Linux).
    """
    return Available(meminfo(root, "MemAvailable"), cgroup_room(root), address_room() if root == _ROOT else None)


def address_room() -> int | None:
    """Return the bytes left of this process's address space (`ulimit -v`), or None where it has no limit."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    pages = _read(_ROOT / "proc/self/statm").partition(" ")[0]
    return max(0, limit - int(pages or 0) * resource.getpagesize())


def available_bytes(root: Path = _ROOT) -> int:
    """Return what MemAvailable, control groups and address space leave, in bytes; raises BoardError."""
    return available(root).bytes


def default_budget(root: Path = _ROOT) -> int:
    """Return the memory that a model may take when the user names none: what is available less a reserve for others."""
    return max(1, available_bytes(root) - memory_figures().reserve_bytes)


def meminfo(root: Path, field: str) -> int:
    """Return a field of /proc/meminfo in bytes; raises BoardError if it is not there."""
    file = root / "proc/meminfo"
    fields = dict(_MEMINFO.findall(_read(file)))
    if field not in fields:
        raise BoardError(f"{file}: has no {field}; give the memory budget yourself (--memory-budget)")
    return int(fields[field]) * 1024


def cgroup_limit(root: Path = _ROOT) -> GroupLimit | None:
    """Return the smallest memory limit of this process's control group and the groups above it, or None."""
    return min(_cgroups(root), key=lambda group: group.limit, default=None)


def cgroup_room(root: Path = _ROOT) -> int | None:
    """Return the bytes left in the tightest control group, page cache that can be dropped counted as free, or None."""
    return min((group.room for group in _cgroups(root)), default=None)


def require_within_group(budget: int, root: Path = _ROOT) -> None:
    """BudgetError with both numbers if `budget` (bytes) is above what the control groups let this process take."""
    tightest = cgroup_limit(root)
    if tightest is None or budget <= tightest.limit:
        return
    raise BudgetError(
        f"memory budget: got {budget} bytes ({format_needed(budget)}), but the control group of this process allows "
        f"{tightest.limit} ({format_allowed(tightest.limit)}; {tightest.file}): it would be {tightest.consequence}; "
        "give a budget below that, or raise the limit"
    )


def peak_rss_bytes() -> int | None:
    """Largest resident set of this process so far, in bytes; None where the system does not tell.

    From /proc, because getrusage also counts the process that started this one.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def _cgroups(root: Path) -> list[GroupLimit]:
    """The limits of all groups from this process's own up to the root."""
    found: list[GroupLimit] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            mount, limits_of = root / "sys/fs/cgroup", _limits_v2
        elif "memory" in controllers.split(","):
            mount, limits_of = root / "sys/fs/cgroup/memory", _limits_v1
        else:
            continue
        for folder in _upwards(mount, group):
            found += limits_of(folder)
    return found


def _upwards(mount: Path, group: str) -> list[Path]:
    """The folders of `group` and of the groups above it; in a container the group's path may not be visible."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _limits_v2(folder: Path) -> list[GroupLimit]:
    used = _used(folder / "memory.current", folder / "memory.stat", "inactive_file")
    limits = ((folder / "memory.max", "killed"), (folder / "memory.high", "slowed down to a crawl"))
    return [GroupLimit(limit, used, file, end) for file, end in limits if (limit := _bytes(file)) is not None]


def _limits_v1(folder: Path) -> list[GroupLimit]:
    """Of a group of version 1. Groups above it that a container does not show are in its statistics all the same."""
    file, stat = folder / "memory.limit_in_bytes", folder / "memory.stat"
    above = re.search(r"^hierarchical_memory_limit (\d+)$", _read(stat), re.MULTILINE)
    limits = [limit for limit in (_bytes(file), int(above.group(1)) if above else None) if limit is not None]
    used = _used(folder / "memory.usage_in_bytes", stat, "total_inactive_file")
    return [GroupLimit(limit, used, file, "killed") for limit in limits if limit < _NO_LIMIT]


def _used(file: Path, stat: Path, droppable: str) -> int:
    """Bytes in use less the page cache that is dropped when memory is short."""
    dropped = re.search(rf"^{droppable} (\d+)$", _read(stat), re.MULTILINE)
    return max(0, (_bytes(file) or 0) - (int(dropped.group(1)) if dropped else 0))


def _bytes(file: Path) -> int | None:
    """The number in the file; None where it is missing or says "max"."""
    text = _read(file).strip()
    return int(text) if text.isdigit() else None


def _read(file: Path) -> str:
    """The file's text; "" where it cannot be read, because not every kernel has every file."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
