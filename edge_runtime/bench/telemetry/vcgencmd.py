"""Raspberry Pi's `vcgencmd`: temperature, clock, throttling; on a Pi 5 also the rails of its power controller."""

from __future__ import annotations

import re
import shutil
import subprocess

from edge_runtime.bench.telemetry.reading import Reading

NAME = "vcgencmd"

_TIMEOUT_SECONDS = 2.0
_THROTTLED = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage has occurred",
    17: "frequency cap has occurred",
    18: "throttling has occurred",
    19: "soft temperature limit has occurred",
}
_ADC = re.compile(r"^\s*(\w+)_([AV])\s+(?:current|volt)\(\d+\)=(-?[\d.]+)[AV]\s*$", re.MULTILINE)


def parse_temperature(text: str) -> float | None:
    """Degrees Celsius of `measure_temp`: "temp=48.3'C"."""
    match = re.search(r"temp=(-?[\d.]+)", text)
    return float(match[1]) if match else None


def parse_clock_mhz(text: str) -> float | None:
    """MHz of `measure_clock`: "frequency(48)=1500398464"."""
    match = re.search(r"frequency\(\d+\)=(\d+)", text)
    return int(match[1]) / 1e6 if match else None


def parse_throttled(text: str) -> str | None:
    """Words for `get_throttled`: "throttled=0x50005"; "" if nothing is wrong, None if the text is something else."""
    match = re.search(r"throttled=0x([0-9a-fA-F]+)", text)
    if match is None:
        return None
    bits = int(match[1], 16)
    known = [words for bit, words in _THROTTLED.items() if bits >> bit & 1]
    rest = bits & ~sum(1 << bit for bit in _THROTTLED)
    return ", ".join(known + ([f"unknown bits {rest:#x}"] if rest else []))


def parse_rails(text: str) -> dict[str, float]:
    """Watts of each rail of `pmic_read_adc` that has both a current and a voltage."""
    values = {(match[1], match[2]): float(match[3]) for match in _ADC.finditer(text)}
    currents = {name: value for (name, kind), value in values.items() if kind == "A"}
    return {name: current * values[name, "V"] for name, current in currents.items() if (name, "V") in values}


class VcgencmdSource:
    """Calls vcgencmd; every call is a process, so the samples are far apart."""

    name = NAME
    interval_s = 2.0

    def __init__(self, executable: str) -> None:
        self._executable = executable
        self._has_rails = bool(parse_rails(self._call("pmic_read_adc")))

    def read(self) -> Reading:
        """Return what the firmware tells now."""
        reading = Reading()
        temperature = parse_temperature(self._call("measure_temp"))
        if temperature is not None:
            reading.temperatures_c["soc"] = temperature
        clock = parse_clock_mhz(self._call("measure_clock", "arm"))
        if clock is not None:
            reading.clocks_mhz["arm"] = clock
        throttled = parse_throttled(self._call("get_throttled"))
        if throttled:
            reading.notes["throttled"] = throttled
        if self._has_rails:
            reading.rails_w = parse_rails(self._call("pmic_read_adc"))
            reading.power_w = sum(reading.rails_w.values())
            reading.power_basis = "sum of the power controller's rails, without the 5 V ports"
        return reading

    def close(self) -> None:
        """Nothing was started."""

    def _call(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                [self._executable, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def open_source(commands: str | None) -> VcgencmdSource | str:
    """Find vcgencmd on the search path `commands` (None: $PATH); the reason as a text if it does not answer."""
    executable = shutil.which("vcgencmd", path=commands)
    if executable is None:
        return "not installed"
    source = VcgencmdSource(executable)
    if source.read() == Reading():
        return f"{executable} does not answer (the user must be in group video)"
    return source
