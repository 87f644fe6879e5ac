"""One moment of a board, and what a source of such moments is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge_runtime.bench.records import TelemetrySample


@dataclass
class Reading:
    """What was read at one moment; what could not be read is None or not in its dict.

    `power_w` is the total in watts and `power_basis` says of what ("rail VDD_IN", "sum of rails ...", "CPU package");
    `rails_w` watts, `temperatures_c` degrees Celsius, `clocks_mhz` MHz, `loads_percent` 0 to 100, by the names that the
    board uses. `notes` are words of the board that are no figures (throttling), `unknown` is what no parser knew.
    """

    power_w: float | None = None
    power_basis: str | None = None
    rails_w: dict[str, float] = field(default_factory=dict)
    temperatures_c: dict[str, float] = field(default_factory=dict)
    clocks_mhz: dict[str, float] = field(default_factory=dict)
    loads_percent: dict[str, float] = field(default_factory=dict)
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    rss_bytes: int | None = None
    notes: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def merge(self, other: Reading) -> None:
        """Take from `other` what is not known here yet."""
        if self.power_w is None and other.power_w is not None:
            self.power_w, self.power_basis = other.power_w, other.power_basis
        for name in ("rails_w", "temperatures_c", "clocks_mhz", "loads_percent", "notes"):
            setattr(self, name, {**getattr(other, name), **getattr(self, name)})
        for name in ("memory_used_bytes", "memory_total_bytes", "rss_bytes"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(other, name))
        self.unknown += other.unknown

    def sample(self, t_s: float) -> TelemetrySample:
        """Return it as it stands in a result, read `t_s` seconds after the start."""
        return TelemetrySample(
            t_s=t_s,
            power_w=self.power_w,
            rails_w=self.rails_w,
            temperatures_c=self.temperatures_c,
            clocks_mhz=self.clocks_mhz,
            loads_percent=self.loads_percent,
            memory_used_bytes=self.memory_used_bytes,
            memory_total_bytes=self.memory_total_bytes,
            rss_bytes=self.rss_bytes,
            notes=self.notes,
            unknown=tuple(self.unknown),
        )


class Source(Protocol):
    """Something that can be asked for a reading, again and again, by one thread."""

    name: str
    interval_s: float
    """Seconds that should lie between two calls of `read`: 0 for a cheap one."""

    def read(self) -> Reading:
        """Return what can be read now; what fails is left out."""

    def close(self) -> None:
        """Stop what was started for this source."""


@dataclass(frozen=True)
class Sources:
    """The sources of this machine, the most direct first, and for each of the others the reason why it is missing."""

    found: tuple[Source, ...]
    missing: dict[str, str]

    def power_reason(self) -> str:
        """Return why there is no power figure, source by source."""
        names = ("tegrastats", "INA3221/hwmon", "vcgencmd", "RAPL")
        reasons = [f"{name}: {self.missing[name]}" for name in names if name in self.missing]
        reasons += [f"{source.name}: tells no power here" for source in self.found if source.name in names]
        return "no power sensor is readable (" + "; ".join(reasons) + ")"

    def close(self) -> None:
        """Stop what was started."""
        for source in self.found:
            source.close()


def read_text(path: Path) -> str | None:
    """Return the stripped text of a small /proc or /sys file; None if it cannot be read (gated sensor, no right)."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """Return the number in a small file; None if there is none."""
    text = read_text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
