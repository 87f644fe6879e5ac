"""How much memory there is: sizes as people write them, MemAvailable, and the limits of control groups.

MemFree is never used: it leaves out what the page cache gives back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import BoardError, ConfigError

RESERVE_BYTES = 256 << 20
"""Left to the rest of the system when no budget is given."""

_UNITS = {
    "": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)")
_MEMINFO = re.compile(r"^(\w+):\s+(\d+) kB", re.MULTILINE)
_NO_LIMIT = 1 << 60  # cgroup v1 writes about 2^63 where there is no limit
_ROOT = Path("/")


def parse_size(text: str) -> int:
    """Return bytes for a size such as "4.5GiB", "700MB", "2g" or "1000"; GB is 10^9, GiB is 2^30.

    Raises ConfigError for anything else, and for a size below one byte.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match.group(2) not in _UNITS:
        raise ConfigError(f"size is {text!r}; expected a number and a unit, such as 4.5GiB, 700MB or 1000000")
    size = int(float(match.group(1)) * _UNITS[match.group(2)])
    if size < 1:
        raise ConfigError(f"size is {text!r}; expected at least one byte")
    return size


def parse_rate(text: str) -> float:
    """Return bytes a second for "1.5GB/s" (the "/s" may be left out); raises ConfigError."""
    return float(parse_size(re.sub(r"/s(ec)?$", "", text.strip().lower())))


@dataclass(frozen=True)
class Available:
    """What a new process may take, in bytes: `mem_available` of the machine, and `cgroup_room` where a group limits."""

    mem_available: int
    cgroup_room: int | None

    @property
    def bytes(self) -> int:
        """The smaller of the two."""
        return self.mem_available if self.cgroup_room is None else min(self.mem_available, self.cgroup_room)


def available(root: Path = _ROOT) -> Available:
    """Read /proc/meminfo and the control groups of this process below `root`.

    Raises BoardError where /proc/meminfo has no MemAvailable (kernels before 3.14, or no Linux).
    """
    return Available(meminfo(root, "MemAvailable"), cgroup_room(root))


def available_bytes(root: Path = _ROOT) -> int:
    """Return what MemAvailable and the control groups leave, in bytes; raises BoardError."""
    return available(root).bytes


def default_budget(root: Path = _ROOT) -> int:
    """Return the memory that a model may take when the user names none: what is available less RESERVE_BYTES."""
    return max(1, available_bytes(root) - RESERVE_BYTES)


def meminfo(root: Path, field: str) -> int:
    """Return a field of /proc/meminfo in bytes; raises BoardError if it is not there."""
    file = root / "proc/meminfo"
    fields = dict(_MEMINFO.findall(_read(file)))
    if field not in fields:
        raise BoardError(f"{file}: has no {field}; give the memory budget yourself (--memory-budget)")
    return int(fields[field]) * 1024


def cgroup_limit(root: Path = _ROOT) -> int | None:
    """Return the smallest memory limit of this process's control group and the groups above it, in bytes, or None."""
    limits = [limit for limit, _ in _cgroups(root)]
    return min(limits, default=None)


def cgroup_room(root: Path = _ROOT) -> int | None:
    """Return the bytes left in the tightest control group, page cache that can be dropped counted as free, or None."""
    rooms = [max(0, limit - used) for limit, used in _cgroups(root)]
    return min(rooms, default=None)


def _cgroups(root: Path) -> list[tuple[int, int]]:
    """(limit, bytes in use that cannot be dropped) of each limiting group from this process's own up to the root."""
    found = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount, names = (
                root / "sys/fs/cgroup/memory",
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            )
        else:
            continue
        found += [pair for folder in _upwards(mount, group) if (pair := _limit_and_use(folder, names)) is not None]
    return found


def _upwards(mount: Path, group: str) -> list[Path]:
    """The folders of `group` and of the groups above it; in a container the group's path may not be visible."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _limit_and_use(folder: Path, names: tuple[str, str, str]) -> tuple[int, int] | None:
    limit = _read(folder / names[0]).strip()
    if not limit.isdigit() or int(limit) >= _NO_LIMIT:
        return None
    used = _read(folder / names[1]).strip()
    dropped = re.search(rf"^{names[2]} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
    cache = int(dropped.group(1)) if dropped else 0
    return int(limit), max(0, (int(used) if used.isdigit() else 0) - cache)


def _read(file: Path) -> str:
    """The file's text; "" where it cannot be read, because not every kernel has every file."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
