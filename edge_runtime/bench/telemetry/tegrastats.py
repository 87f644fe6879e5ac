"""One line of NVIDIA's `tegrastats`, in every format from L4T 28 (TX1) to L4T 39 (JetPack 7.2).

A line is a row of fields without a grammar of its own: each is recognised by its shape, wherever it stands, and what no
shape fits is kept as it is. Nothing here raises: a line of garbage is a line with unknown fields only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_runtime.bench.telemetry.reading import Reading

SENSOR_OFF_C = -256.0
TOTAL_RAILS = ("POM_5V_IN", "VDD_IN", "VIN")
"""Rails that carry the whole board: Nano; TX1, TX2, Xavier NX, Orin Nano and NX; Thor."""

# Rails that lie behind another one in the list of their board, or are not connected: not counted again in a sum.
_NOT_IN_SUM = re.compile(r"NC(#\d+)?|VDDQ_VDD2_1V8AO")
_FAKE_ZONES = ("PMIC",)
_UNITS = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_LINE_LIMIT = 16384
_END = r"(?=\s|$)"
_CLOCKS = r"\[?(?P<{0}>\d+(?:,\d+)*)\]?"

_FIELD = re.compile(
    "|".join(
        (
            r"(?P<time>\d\d-\d\d-\d{4} \d\d:\d\d:\d\d)" + _END,
            r"RAM (?P<ram>\d+)/(?P<ram_total>\d+)(?P<ram_unit>[kMG]B)"
            r"(?: ?\(lfb (?P<lfb>\d+)x(?P<lfb_size>\d+)(?P<lfb_unit>[kMG]B)\))?" + _END,
            r"SWAP (?P<swap>\d+)/(?P<swap_total>\d+)(?P<swap_unit>[kMG]B)"
            r"(?: ?\(cached (?P<cached>\d+)(?P<cached_unit>[kMG]B)\))?" + _END,
            r"IRAM (?P<iram>\d+)/(?P<iram_total>\d+)(?P<iram_unit>[kMG]B)(?: ?\(lfb \d+[kMG]B\))?" + _END,
            r"(?:(?:CPU|cpu) )?\[(?P<cores>(?:off|\d+%(?:@\d+)?)(?:,(?:off|\d+%(?:@\d+)?))*)\](?:@(?P<cores_mhz>\d+))?"
            + _END,
            r"MTS fg (?P<mts_fg>\d+)% bg (?P<mts_bg>\d+)%" + _END,
            r"(?P<zone>\w+)@(?P<temp>-?\d+(?:\.\d+)?)C(?:/(?P<temp_max>-?\d+(?:\.\d+)?)C)?" + _END,
            r"(?P<rail>\w+) (?P<now>-?\d+)(?:mW)?/(?P<avg>-?\d+)(?:mW)?(?:/(?P<max>-?\d+)(?:mW)?)?" + _END,
            r"(?P<off>\w+)\s+off" + _END,
            r"(?P<engine>\w+)\s+(?P<load>\d+)%(?:@" + _CLOCKS.format("load_mhz") + ")?" + _END,
            r"(?P<clocked>\w+)\s+@?" + _CLOCKS.format("mhz") + _END,
            r"(?P<unknown>\S+)",
        )
    )
)


@dataclass(frozen=True)
class Core:
    """One CPU core that is on: load in percent, clock in MHz where the line tells it."""

    load_percent: int
    mhz: int | None


@dataclass(frozen=True)
class Rail:
    """Power of one rail in mW: now, average, and maximum since tegrastats started (JetPack 7.2)."""

    now_mw: int
    avg_mw: int
    max_mw: int | None


@dataclass(frozen=True)
class Engine:
    """A unit with a load or a clock (EMC_FREQ, GR3D_FREQ, VIC, APE): percent, MHz a cluster; both absent if off."""

    load_percent: int | None = None
    mhz: tuple[int, ...] = ()
    off: bool = False


@dataclass
class TegraStats:
    """The fields of one line. Sizes in bytes (tegrastats' MB is 2**20), temperatures in degrees Celsius.

    `free_blocks` blocks of `free_block_bytes` are the largest free ones ("lfb"). `cores` has None for a core that is
    off. `sensors_off` are the zones that print -256. A rail name that comes twice gets "#2" behind it. `unknown` is
    what fitted no known shape, in order.
    """

    time: str | None = None
    ram_used_bytes: int | None = None
    ram_total_bytes: int | None = None
    free_blocks: int | None = None
    free_block_bytes: int | None = None
    swap_used_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_cached_bytes: int | None = None
    iram_used_bytes: int | None = None
    iram_total_bytes: int | None = None
    mts_percent: tuple[int, int] | None = None
    cores: list[Core | None] = field(default_factory=list)
    temperatures_c: dict[str, float] = field(default_factory=dict)
    temperatures_max_c: dict[str, float] = field(default_factory=dict)
    sensors_off: list[str] = field(default_factory=list)
    rails: dict[str, Rail] = field(default_factory=dict)
    engines: dict[str, Engine] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    @property
    def recognised(self) -> bool:
        """Whether anything of tegrastats was in the line: memory, cores, a temperature or a rail."""
        return bool(self.ram_total_bytes is not None or self.cores or self.temperatures_c or self.rails)

    def total_power(self) -> tuple[float, str] | None:
        """Return watts and what they are of; None if the line has no rail.

        The rail that carries the whole board where there is one; else the sum of the others (AGX Xavier, AGX Orin).
        """
        for name in TOTAL_RAILS:
            if name in self.rails:
                return self.rails[name].now_mw / 1000, f"rail {name}"
        summed = [name for name in self.rails if not _NOT_IN_SUM.fullmatch(name)]
        if not summed:
            return None
        return sum(self.rails[name].now_mw for name in summed) / 1000, "sum of rails " + " + ".join(summed)

    def reading(self) -> Reading:
        """Return the figures as a Reading."""
        power = self.total_power()
        reading = Reading(
            rails_w={name: rail.now_mw / 1000 for name, rail in self.rails.items()},
            temperatures_c={name: c for name, c in self.temperatures_c.items() if name not in _FAKE_ZONES},
            memory_used_bytes=self.ram_used_bytes,
            memory_total_bytes=self.ram_total_bytes,
            unknown=list(self.unknown),
        )
        if power is not None:
            reading.power_w, reading.power_basis = power
        for index, core in enumerate(self.cores):
            if core is not None:
                reading.loads_percent[f"cpu{index}"] = core.load_percent
                if core.mhz is not None:
                    reading.clocks_mhz[f"cpu{index}"] = core.mhz
        for name, engine in self.engines.items():
            if engine.load_percent is not None:
                reading.loads_percent[name] = engine.load_percent
            if engine.mhz:
                reading.clocks_mhz[name] = max(engine.mhz)
        return reading


def parse_line(line: str) -> TegraStats:
    """Return the fields of one line; whatever it holds, this does not fail (`recognised` tells garbage)."""
    stats = TegraStats()
    for match in _FIELD.finditer(line[:_LINE_LIMIT]):
        key = _key(match)
        _FIELDS[key](stats, match)
    return stats


def _key(match: re.Match[str]) -> str:
    """The group that names the kind of field: the first one that took part."""
    return next(name for name in _FIELDS if match[name] is not None)


def _bytes(match: re.Match[str], number: str, unit: str) -> int | None:
    return None if match[number] is None else int(match[number]) * _UNITS[match[unit]]


def _ram(stats: TegraStats, match: re.Match[str]) -> None:
    stats.ram_used_bytes = _bytes(match, "ram", "ram_unit")
    stats.ram_total_bytes = _bytes(match, "ram_total", "ram_unit")
    stats.free_blocks = None if match["lfb"] is None else int(match["lfb"])
    stats.free_block_bytes = _bytes(match, "lfb_size", "lfb_unit")


def _swap(stats: TegraStats, match: re.Match[str]) -> None:
    stats.swap_used_bytes = _bytes(match, "swap", "swap_unit")
    stats.swap_total_bytes = _bytes(match, "swap_total", "swap_unit")
    stats.swap_cached_bytes = _bytes(match, "cached", "cached_unit")


def _iram(stats: TegraStats, match: re.Match[str]) -> None:
    stats.iram_used_bytes = _bytes(match, "iram", "iram_unit")
    stats.iram_total_bytes = _bytes(match, "iram_total", "iram_unit")


def _cores(stats: TegraStats, match: re.Match[str]) -> None:
    common = match["cores_mhz"]
    for text in match["cores"].split(","):
        load, _, mhz = text.partition("%@")
        clock = mhz or common
        stats.cores.append(None if text == "off" else Core(int(load.rstrip("%")), int(clock) if clock else None))


def _temperature(stats: TegraStats, match: re.Match[str]) -> None:
    value = float(match["temp"])
    if value <= SENSOR_OFF_C:
        stats.sensors_off.append(match["zone"])
        return
    stats.temperatures_c[match["zone"]] = value
    if match["temp_max"] is not None:
        stats.temperatures_max_c[match["zone"]] = float(match["temp_max"])


def _rail(stats: TegraStats, match: re.Match[str]) -> None:
    maximum = match["max"]
    rail = Rail(int(match["now"]), int(match["avg"]), None if maximum is None else int(maximum))
    stats.rails[_free_name(match["rail"], stats.rails)] = rail


def _engine(name: str, load: str, clocks: str) -> Callable[[TegraStats, re.Match[str]], None]:
    def add(stats: TegraStats, match: re.Match[str]) -> None:
        percent = int(match[load]) if load else None
        mhz = tuple(map(int, match[clocks].split(","))) if clocks and match[clocks] else ()
        stats.engines[_free_name(match[name], stats.engines)] = Engine(percent, mhz, name == "off")

    return add


def _free_name(name: str, taken: object) -> str:
    names = taken if isinstance(taken, dict) else {}
    if name not in names:
        return name
    return next(f"{name}#{number}" for number in range(2, len(names) + 3) if f"{name}#{number}" not in names)


_FIELDS: dict[str, Callable[[TegraStats, re.Match[str]], None]] = {
    "time": lambda stats, match: setattr(stats, "time", match["time"]),
    "ram": _ram,
    "swap": _swap,
    "iram": _iram,
    "cores": _cores,
    "mts_fg": lambda stats, match: setattr(stats, "mts_percent", (int(match["mts_fg"]), int(match["mts_bg"]))),
    "zone": _temperature,
    "rail": _rail,
    "off": _engine("off", "", ""),
    "engine": _engine("engine", "load", "load_mhz"),
    "clocked": _engine("clocked", "", "mhz"),
    "unknown": lambda stats, match: stats.unknown.append(match["unknown"]),
}
