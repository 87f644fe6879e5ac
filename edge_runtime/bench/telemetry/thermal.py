"""Temperatures of the kernel's thermal zones."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.bench.telemetry.reading import Reading, read_int, read_text

NAME = "thermal zones"

# Some drivers answer with these instead of an error while a sensor is off.
_PLAUSIBLE_C = (-100.0, 200.0)


class ThermalSource:
    """All zones; a zone that is gated at the moment is left out of that reading."""

    name = NAME
    interval_s = 0.0

    def __init__(self, zones: dict[str, Path]) -> None:
        self._zones = zones

    def read(self) -> Reading:
        """Return degrees Celsius by zone type; a type that comes twice has "#2" behind it."""
        reading = Reading()
        for name, path in self._zones.items():
            value = _celsius(path)
            if value is not None:
                reading.temperatures_c[name] = value
        return reading

    def close(self) -> None:
        """Nothing was started."""


def open_source(root: Path) -> ThermalSource | str:
    """Find the zones under `root`/sys; the reason as a text if none can be read."""
    zones: dict[str, Path] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"), key=lambda path: (len(path.name), path)):
        kind = (read_text(zone / "type") or zone.name).removesuffix("-thermal")
        name, number = kind, 2
        while name in zones:
            name, number = f"{kind}#{number}", number + 1
        zones[name] = zone / "temp"
    if not zones:
        return "none under /sys/class/thermal"
    if all(_celsius(path) is None for path in zones.values()):
        return f"{len(zones)} zones under /sys/class/thermal, none of them readable"
    return ThermalSource(zones)


def _celsius(path: Path) -> float | None:
    value = read_int(path)
    if value is None or not _PLAUSIBLE_C[0] < value / 1000 < _PLAUSIBLE_C[1]:
        return None
    return value / 1000
