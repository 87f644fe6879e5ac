"""Which sources this machine has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_runtime.bench.telemetry import power, procfs, tegra_source, thermal, vcgencmd
from edge_runtime.bench.telemetry.reading import Source, Sources


def discover(root: Path = Path("/"), *, interval_s: float = 0.5, commands: str | None = None) -> Sources:
    """Look for every kind of source, and start what has to be started; close the result when done.

    `root` replaces "/" for /proc and /sys; `commands` replaces $PATH for tegrastats and vcgencmd. `interval_s` is the
    time in seconds between two lines of tegrastats.
    """
    candidates: tuple[tuple[str, Callable[[], Source | str]], ...] = (
        (tegra_source.NAME, lambda: tegra_source.open_source(interval_s, commands)),
        (power.INA_NAME, lambda: power.open_ina(root)),
        (vcgencmd.NAME, lambda: vcgencmd.open_source(commands)),
        (power.RAPL_NAME, lambda: power.open_rapl(root)),
        (thermal.NAME, lambda: thermal.open_source(root)),
        (procfs.NAME, lambda: procfs.open_source(root)),
    )
    found: list[Source] = []
    missing: dict[str, str] = {}
    for name, open_source in candidates:
        source = open_source()
        if isinstance(source, str):
            missing[name] = source
        else:
            found.append(source)
    return Sources(tuple(found), missing)
