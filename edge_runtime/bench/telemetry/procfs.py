"""What every Linux tells under /proc and /sys: memory, load, clocks, and the resident set of watched processes."""

from __future__ import annotations

import os
from pathlib import Path

from edge_runtime.bench.telemetry.reading import Reading, read_int, read_text

NAME = "/proc"

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CLOCK_FILES = 16


class ProcSource:
    """Memory, CPU load since the last reading, clocks. Set `pid` to also have that process's resident set."""

    name = NAME
    interval_s = 0.0

    def __init__(self, root: Path) -> None:
        self.pid: int | None = None
        self._root = root
        self._last: tuple[int, int] | None = None
        self._clocks = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
        self._clocks = self._clocks[:_CLOCK_FILES]

    def read(self) -> Reading:
        """Return the figures of now; the load is missing at the first reading."""
        reading = Reading()
        memory = meminfo(self._root)
        total, available = memory.get("MemTotal"), memory.get("MemAvailable")
        if total is not None and available is not None:
            reading.memory_total_bytes, reading.memory_used_bytes = total, total - available
        load = self._load()
        if load is not None:
            reading.loads_percent["cpu"] = load
        for path in self._clocks:
            khz = read_int(path)
            if khz is not None:
                reading.clocks_mhz[path.parts[-3]] = khz / 1000
        pid = self.pid
        if pid is not None:
            reading.rss_bytes = resident_bytes(pid, self._root)
        return reading

    def close(self) -> None:
        """Nothing was started."""

    def _load(self) -> float | None:
        times = cpu_times(self._root)
        last, self._last = self._last, times
        if times is None or last is None or times[1] <= last[1]:
            return None
        return 100 * (times[0] - last[0]) / (times[1] - last[1])


def open_source(root: Path) -> ProcSource | str:
    """Return the source; the reason as a text where there is no /proc."""
    if "MemTotal" not in meminfo(root):
        return "no /proc/meminfo: not Linux, or /proc is not mounted"
    return ProcSource(root)


def meminfo(root: Path = Path("/")) -> dict[str, int]:
    """The sizes in /proc/meminfo, in bytes."""
    sizes: dict[str, int] = {}
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[0].isdigit() and words[1] == "kB":
            sizes[name] = int(words[0]) * 1024
    return sizes


def cpu_times(root: Path = Path("/")) -> tuple[int, int] | None:
    """Busy and total time of all CPUs since the machine started, in clock ticks; what the host took is busy."""
    times = machine_times(root)
    return None if times is None else (times[0] + times[1], times[2])


def machine_times(root: Path = Path("/")) -> tuple[int, int, int] | None:
    """Busy time, time that the host of a virtual machine took, and total time of all CPUs, in clock ticks."""
    words = (read_text(root / "proc/stat") or "").partition("\n")[0].split()
    if len(words) < 6 or words[0] != "cpu" or not all(word.isdigit() for word in words[1:]):
        return None
    times = [int(word) for word in words[1:9]]
    stolen = times[7] if len(times) > 7 else 0
    return sum(times) - times[3] - times[4] - stolen, stolen, sum(times)


def resident_bytes(pid: int, root: Path = Path("/")) -> int | None:
    """Resident set of a process in bytes; None if it is gone."""
    words = (read_text(root / "proc" / str(pid) / "statm") or "").split()
    return int(words[1]) * _PAGE_BYTES if len(words) > 1 else None


def process_cpu_seconds(pid: int, root: Path = Path("/")) -> float | None:
    """CPU seconds that a process has used so far; None if it is gone."""
    _, _, rest = (read_text(root / "proc" / str(pid) / "stat") or "").rpartition(")")
    words = rest.split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") if len(words) > 12 else None
