"""Sizes, rates and times as people write and read them. One system: decimal units, so that 1 MB is 10^6 bytes.

Binary units are read (4.5GiB), never written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal

from edge_runtime.errors import ConfigError

LARGEST_BYTES = (1 << 63) - 1
_READ = {
    "": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)")
_WRITTEN = ("B", "kB", "MB", "GB", "TB")


def parse_size(text: str) -> int:
    """Return bytes for a size such as "4.5GiB", "700MB", "2g" or "1000"; GB is 10^9, GiB is 2^30.

    Raises ConfigError for anything else, for a size below one byte, and for 2^63 bytes or more.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match.group(2) not in _READ:
        raise ConfigError(f"size is {text!r}; expected a number and a unit, such as 4.5GiB, 700MB or 1000000")
    size = Decimal(match.group(1)) * _READ[match.group(2)]
    if not 1 <= size <= LARGEST_BYTES:
        raise ConfigError(f"size is {text!r}; expected at least one byte, and less than 2^63")
    return int(size)


def parse_rate(text: str) -> float:
    """Return bytes a second for "1.5GB/s" (the "/s" may be left out); raises ConfigError."""
    return float(parse_size(re.sub(r"/s(ec)?$", "", text.strip().lower())))


def format_bytes(count: float) -> str:
    """Return a size for people, with three significant digits: "999 B", "1.50 kB", "23.4 MB"."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_WRITTEN) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{value:.0f} B"
    return f"{value:.{_digits(value)}f} {_WRITTEN[unit]}"


def format_needed(count: float) -> str:
    """The same, rounded up: that much is enough."""
    return format_bytes(_rounded(count, math.ceil))


def format_allowed(count: float) -> str:
    """The same, rounded down: no more is allowed, and less than any need that is larger."""
    return format_bytes(_rounded(count, math.floor))


def format_rate(bytes_per_s: float) -> str:
    """Return a rate for people: "1.50 GB/s"."""
    return f"{format_bytes(bytes_per_s)}/s"


def format_seconds(seconds: float, digits: int = 3) -> str:
    """Return a duration for people: "2.54 s", "38.1 ms", with as many significant digits."""
    value, unit = (seconds, "s") if seconds >= 0.9995 else (seconds * 1000, "ms")
    text = f"{value:.{digits}g}"
    return f"{value:.0f} {unit}" if "e" in text and value >= 1 else f"{text} {unit}"


def format_age(seconds: float) -> str:
    """Return a long duration in its largest unit: "3 days", "5 h", "12 min", "40 s"."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def format_clock(seconds: float) -> str:
    """Return a duration as a clock shows it: "1:02:03", "2:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _digits(value: float) -> int:
    """Decimal places that give a number from 0.9995 to 999.5 three significant digits."""
    return 2 if value < 9.995 else 1 if value < 99.95 else 0


def _rounded(count: float, direction: Callable[[float], int]) -> int:
    """`count` with three significant digits."""
    step: int = 10 ** max(0, len(str(int(count))) - 3)
    return direction(count / step) * step
