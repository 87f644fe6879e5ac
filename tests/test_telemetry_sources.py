"""Power, temperature and load from /sys, /proc, tegrastats and vcgencmd; the root folder and the commands are ours."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from telemetry_lines import LINES

from edge_runtime.bench.telemetry import Sampler, discover
from edge_runtime.bench.telemetry.power import open_ina, open_rapl
from edge_runtime.bench.telemetry.procfs import meminfo
from edge_runtime.bench.telemetry.thermal import open_source as open_thermal
from edge_runtime.bench.telemetry.vcgencmd import parse_clock_mhz, parse_rails, parse_temperature, parse_throttled

# pmic_read_adc of a Raspberry Pi 5, shortened to three rails and the two voltages that have no current.
PMIC = """3V3_SYS_A current(1)=0.04684464A
VDD_CORE_A current(7)=0.92871990A
HDMI_A current(22)=0.01636140A
3V3_SYS_V volt(9)=3.31467300V
VDD_CORE_V volt(15)=0.72097620V
HDMI_V volt(23)=5.16034000V
EXT5V_V volt(24)=5.17105900V
BATT_V volt(25)=0.00598290V
"""
WAIT_SECONDS = 20


def tree(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n", encoding="utf-8")
    return root


def script(folder: Path, name: str, text: str) -> str:
    """Put an executable into `folder`; returns a search path that begins there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    file.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def ina(name: str, channels: dict[int, tuple[str, int, int]]) -> dict[str, object]:
    files: dict[str, object] = {f"sys/class/hwmon/{name}/name": "ina3221"}
    for number, (label, millivolts, milliamperes) in channels.items():
        files[f"sys/class/hwmon/{name}/in{number}_label"] = label
        files[f"sys/class/hwmon/{name}/in{number}_input"] = millivolts
        files[f"sys/class/hwmon/{name}/curr{number}_input"] = milliamperes
    return files


def test_ina3221_orin_nano_gives_the_input_rail(tmp_path: Path) -> None:
    rails = {1: ("VDD_IN", 5072, 936), 2: ("VDD_CPU_GPU_CV", 5064, 88), 3: ("VDD_SOC", 5064, 280)}
    source = open_ina(tree(tmp_path, ina("hwmon1", rails)))
    assert not isinstance(source, str)
    reading = source.read()
    assert reading.power_w == pytest.approx(5.072 * 0.936, abs=1e-3)
    assert reading.power_basis == "rail VDD_IN"
    assert reading.rails_w["VDD_SOC"] == pytest.approx(5.064 * 0.280, abs=1e-3)


def test_ina3221_agx_orin_two_chips_are_summed_without_the_inner_rail(tmp_path: Path) -> None:
    tree(
        tmp_path,
        ina("hwmon3", {1: ("VDD_GPU_SOC", 20000, 240), 2: ("VDD_CPU_CV", 20000, 40), 3: ("VIN_SYS_5V0", 5000, 768)}),
    )
    tree(tmp_path, ina("hwmon4", {1: ("NC", 0, 0), 2: ("VDDQ_VDD2_1V8AO", 4968, 142)}))
    source = open_ina(tmp_path)
    assert not isinstance(source, str)
    reading = source.read()
    assert reading.power_w == pytest.approx(4.8 + 0.8 + 3.84)
    assert set(reading.rails_w) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}


def test_ina3221_old_kernel_and_power_files_are_read(tmp_path: Path) -> None:
    device = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    tree(tmp_path, {f"{device}/rail_name_0": "POM_5V_IN", f"{device}/in_power0_input": 1750})
    tree(tmp_path, {"sys/class/hwmon/hwmon0/name": "ina238", "sys/class/hwmon/hwmon0/power1_label": "FAN"})
    tree(tmp_path, {"sys/class/hwmon/hwmon0/power1_input": 500_000})
    source = open_ina(tmp_path)
    assert not isinstance(source, str)
    assert source.read().rails_w == {"FAN": 0.5, "POM_5V_IN": 1.75}
    assert source.read().power_w == 1.75


def test_ina3221_disabled_channel_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, ina("hwmon1", {1: ("VDD_IN", 5000, 100), 2: ("VDD_SOC", 5000, 0)}))
    tree(tmp_path, {"sys/class/hwmon/hwmon1/in2_enable": 0})
    source = open_ina(tmp_path)
    assert not isinstance(source, str)
    assert set(source.read().rails_w) == {"VDD_IN"}


def test_ina3221_unreadable_channels_say_so(tmp_path: Path) -> None:
    tree(tmp_path, ina("hwmon1", {1: ("VDD_IN", 5000, 100)}))
    (tmp_path / "sys/class/hwmon/hwmon1/curr1_input").write_text("", encoding="utf-8")
    assert (
        open_ina(tmp_path) == "1 channels under /sys/class/hwmon, none of them readable (permission, or switched off)"
    )


def test_hwmon_without_power_monitor_gives_the_reason(tmp_path: Path) -> None:
    tree(tmp_path, {"sys/class/hwmon/hwmon0/name": "coretemp"})
    assert open_ina(tmp_path) == "no power monitor under /sys/class/hwmon"


def test_rapl_watts_are_joules_over_time_also_when_the_counter_wraps(tmp_path: Path) -> None:
    package = "sys/class/powercap/intel-rapl:0"
    tree(tmp_path, {f"{package}/energy_uj": 900_000, f"{package}/max_energy_range_uj": 1_000_000})
    tree(tmp_path, {"sys/class/powercap/intel-rapl:0:0/energy_uj": 5})
    source = open_rapl(tmp_path)
    assert not isinstance(source, str)
    assert source.read().power_w is None
    before = time.monotonic()
    tree(tmp_path, {f"{package}/energy_uj": 150_000})
    time.sleep(0.05)
    power = source.read().power_w
    assert power is not None
    assert 0 < power <= 0.25 / 0.05
    assert power * (time.monotonic() - before) >= 0.25


def test_thermal_zones_skip_gated_ones_and_number_the_same_names(tmp_path: Path) -> None:
    zones = {0: ("cpu-thermal", 48300), 1: ("gpu-thermal", -256000), 2: ("cpu-thermal", 47000), 10: ("soc", 30500)}
    for number, (kind, value) in zones.items():
        tree(tmp_path, {f"sys/class/thermal/thermal_zone{number}/type": kind})
        tree(tmp_path, {f"sys/class/thermal/thermal_zone{number}/temp": value})
    source = open_thermal(tmp_path)
    assert not isinstance(source, str)
    assert source.read().temperatures_c == {"cpu": 48.3, "cpu#2": 47.0, "soc": 30.5}


def test_vcgencmd_texts_parse() -> None:
    assert parse_temperature("temp=48.3'C") == 48.3
    assert parse_clock_mhz("frequency(48)=1500398464") == pytest.approx(1500.398464)
    assert parse_throttled("throttled=0x0") == ""
    assert parse_throttled("throttled=0x50005") == (
        "under-voltage, throttled, under-voltage has occurred, throttling has occurred"
    )
    assert parse_throttled("throttled=0x100") == "unknown bits 0x100"
    assert [parse_temperature("x"), parse_clock_mhz("x"), parse_throttled("error=1")] == [None] * 3
    rails = parse_rails(PMIC)
    assert rails == pytest.approx({"3V3_SYS": 0.155275, "VDD_CORE": 0.669585, "HDMI": 0.084430}, rel=1e-4)


def test_vcgencmd_source_reads_power_and_throttling(tmp_path: Path) -> None:
    (tmp_path / "adc").write_text(PMIC, encoding="utf-8")
    commands = script(
        tmp_path / "bin",
        "vcgencmd",
        f'case "$1" in measure_temp) echo "temp=61.0\'C";; measure_clock) echo "frequency(0)=2400000000";;\n'
        f"get_throttled) echo throttled=0x4;; pmic_read_adc) cat {tmp_path}/adc;; esac\n",
    )
    sources = discover(tmp_path, commands=commands)
    assert [source.name for source in sources.found] == ["vcgencmd"]
    reading = sources.found[0].read()
    assert reading.power_w == pytest.approx(0.90929, rel=1e-4)
    assert (reading.temperatures_c, reading.clocks_mhz) == ({"soc": 61.0}, {"arm": 2400.0})
    assert reading.notes == {"throttled": "throttled"}


def test_vcgencmd_without_permission_gives_the_reason(tmp_path: Path) -> None:
    commands = script(tmp_path / "bin", "vcgencmd", "echo 'Can not open device file: /dev/vcio' >&2; exit 255\n")
    assert "group video" in discover(tmp_path, commands=commands).missing["vcgencmd"]


def tegrastats(folder: Path, lines: list[str]) -> str:
    """A tegrastats that writes these lines for ever."""
    (folder / "lines").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return script(
        folder / "bin",
        "tegrastats",
        f'while :; do while read -r l; do echo "$l"; sleep 0.02; done <{folder}/lines; done\n',
    )


def test_tegrastats_source_survives_garbage_and_ends_with_close(tmp_path: Path) -> None:
    commands = tegrastats(tmp_path, ["Segmentation fault", "", LINES["orin-nano-r39"]])
    sources = discover(tmp_path, commands=commands)
    source = sources.found[0]
    assert source.name == "tegrastats"
    assert source.read().power_w == 9.761
    pid = source.pid  # type: ignore[attr-defined]
    assert source.garbage_lines >= 1  # type: ignore[attr-defined]
    sources.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_tegrastats_that_ends_gives_no_old_figures(tmp_path: Path) -> None:
    commands = script(tmp_path / "bin", "tegrastats", f"echo '{LINES['nano-jp4']}'\n")
    source = discover(tmp_path, commands=commands).found[0]
    deadline = time.monotonic() + WAIT_SECONDS
    while source.read().power_w is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    source.close()


def test_tegrastats_that_writes_nothing_readable_gives_the_reason(tmp_path: Path) -> None:
    commands = script(tmp_path / "bin", "tegrastats", "while echo x; do sleep 0.3; done\n")
    assert "none of them readable" in discover(tmp_path, commands=commands).missing["tegrastats"]


def test_nothing_readable_says_why_for_each_source(tmp_path: Path) -> None:
    sources = discover(tmp_path, commands="/nonexistent")
    assert sources.found == ()
    assert sources.power_reason() == (
        "no power sensor is readable (tegrastats: not installed; "
        "INA3221/hwmon: no power monitor under /sys/class/hwmon; vcgencmd: not installed; "
        "RAPL: no counter under /sys/class/powercap)"
    )


def test_proc_here_gives_memory_load_and_resident_set() -> None:
    sources = discover(commands="/nonexistent")
    with Sampler(sources, interval_s=0.02) as sampler:
        sampler.watch(os.getpid())
        deadline = time.monotonic() + WAIT_SECONDS
        while len(sampler.telemetry().samples) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    _, last = sampler.telemetry().samples[-1]
    assert last.memory_total_bytes == meminfo()["MemTotal"]
    assert last.memory_used_bytes is not None
    assert 0 < last.memory_used_bytes < last.memory_total_bytes
    assert last.rss_bytes is not None
    assert 5e6 < last.rss_bytes < last.memory_total_bytes


def test_sources_without_power_say_that_they_tell_none(tmp_path: Path) -> None:
    commands = tegrastats(tmp_path, [LINES["tx1-l4t28"]])
    sources = discover(tmp_path, commands=commands)
    assert "tegrastats: tells no power here" in sources.power_reason()
    sources.close()
