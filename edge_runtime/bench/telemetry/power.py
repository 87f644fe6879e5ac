"""Power from /sys: INA3221 and other hwmon monitors (new and old kernels), and the package counters of x86 (RAPL)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bench.telemetry.reading import Reading, read_int, read_text
from edge_runtime.bench.telemetry.tegrastats import Rail, TegraStats

INA_NAME = "INA3221/hwmon"
RAPL_NAME = "RAPL"

_CHIPS = re.compile(r"ina\d{3}\w*")


@dataclass(frozen=True)
class Channel:
    """One rail of a monitor: its label, and a function that returns mW, None while it cannot be read."""

    label: str
    milliwatts: Callable[[], float | None]


class InaSource:
    """All channels of all power monitors."""

    name = INA_NAME
    interval_s = 0.0

    def __init__(self, channels: list[Channel]) -> None:
        self._channels = channels

    def read(self) -> Reading:
        """Return the power of each rail, and the total as tegrastats' rails are totalled."""
        stats = TegraStats()
        for channel in self._channels:
            power = channel.milliwatts()
            if power is not None:
                stats.rails[channel.label] = Rail(round(power), round(power), None)
        return stats.reading()

    def close(self) -> None:
        """Nothing was started."""


def open_ina(root: Path) -> InaSource | str:
    """Find the power monitors under `root`/sys; the reason as a text if none can be read."""
    channels: dict[str, Channel] = {}
    for channel in [*_hwmon_channels(root), *_iio_channels(root)]:
        if channel.label not in channels:
            channels[channel.label] = channel
    if not channels:
        return "no power monitor under /sys/class/hwmon"
    readable = [channel for channel in channels.values() if channel.milliwatts() is not None]
    if not readable:
        return f"{len(channels)} channels under /sys/class/hwmon, none of them readable (permission, or switched off)"
    return InaSource(readable)


def _hwmon_channels(root: Path) -> Iterator[Channel]:
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if not _CHIPS.fullmatch(read_text(chip / "name") or ""):
            continue
        for number in range(1, 9):
            label = read_text(chip / f"in{number}_label") or read_text(chip / f"power{number}_label")
            if read_int(chip / f"in{number}_enable") == 0 or label in (None, "", "NC"):
                continue
            if (chip / f"power{number}_input").exists():
                yield Channel(label or "", _micro(chip / f"power{number}_input"))
            elif (chip / f"curr{number}_input").exists():
                yield Channel(label or "", _product(chip / f"in{number}_input", chip / f"curr{number}_input"))


def _iio_channels(root: Path) -> Iterator[Channel]:
    """The driver of L4T 28 to 32: in_power<N>_input in mW beside rail_name_<N>."""
    for device in sorted((root / "sys/bus/i2c/drivers/ina3221x").glob("*/iio:device*")):
        for number in range(3):
            label = read_text(device / f"rail_name_{number}")
            if label and label != "NC":
                yield Channel(label, _milli(device / f"in_power{number}_input"))


def _micro(path: Path) -> Callable[[], float | None]:
    def read() -> float | None:
        value = read_int(path)
        return None if value is None else value / 1000

    return read


def _milli(path: Path) -> Callable[[], float | None]:
    return lambda: read_int(path)


def _product(volts: Path, amperes: Path) -> Callable[[], float | None]:
    def read() -> float | None:
        millivolts, milliamperes = read_int(volts), read_int(amperes)
        if millivolts is None or milliamperes is None:
            return None
        return millivolts * milliamperes / 1000

    return read


class RaplSource:
    """The energy counters of the CPU packages; watts are the energy between two readings over their time."""

    name = RAPL_NAME
    interval_s = 0.0

    def __init__(self, packages: list[Path]) -> None:
        self._packages = packages
        self._limits = [read_int(package / "max_energy_range_uj") or 0 for package in packages]
        self._last: tuple[float, list[int]] | None = None

    def read(self) -> Reading:
        """Return the mean power since the last reading; nothing at the first one."""
        counters = [read_int(package / "energy_uj") for package in self._packages]
        if any(counter is None for counter in counters):
            return Reading()
        now, values = time.monotonic(), [counter or 0 for counter in counters]
        last, self._last = self._last, (now, values)
        if last is None or now <= last[0]:
            return Reading()
        joules = sum(
            (new - old + (limit if new < old else 0)) / 1e6
            for new, old, limit in zip(values, last[1], self._limits, strict=True)
        )
        return Reading(power_w=joules / (now - last[0]), power_basis="CPU packages (RAPL), not the whole machine")

    def close(self) -> None:
        """Nothing was started."""


def open_rapl(root: Path) -> RaplSource | str:
    """Find the CPU packages' counters under `root`/sys; the reason as a text if they cannot be read."""
    packages = sorted(path for path in (root / "sys/class/powercap").glob("intel-rapl:*") if path.name.count(":") == 1)
    if not packages:
        return "no counter under /sys/class/powercap"
    if any(read_int(package / "energy_uj") is None for package in packages):
        return f"{packages[0].name}/energy_uj cannot be read (only root may, since Linux 5.10)"
    return RaplSource(packages)
