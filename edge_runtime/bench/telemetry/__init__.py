"""What a board tells about itself while a model runs: power, temperature, clocks, memory, load.

Sources: `tegrastats` (all formats from L4T 28 to 39), INA3221 and other hwmon power monitors, RAPL, thermal zones,
`vcgencmd`, and /proc for everything else. What cannot be read is absent and has a reason; it is never 0.
"""

from __future__ import annotations

from edge_runtime.bench.telemetry.discover import discover
from edge_runtime.bench.telemetry.energy import Energy, energy_between
from edge_runtime.bench.telemetry.reading import Reading, Source, Sources
from edge_runtime.bench.telemetry.sampler import Sampler, Telemetry

__all__ = ["Energy", "Reading", "Sampler", "Source", "Sources", "Telemetry", "discover", "energy_between"]
