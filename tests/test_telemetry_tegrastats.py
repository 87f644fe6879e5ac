# ruff: noqa: E501 (a table row a line)
"""tegrastats lines of all releases: the right numbers, nothing dropped, garbage survived."""

from __future__ import annotations

import re

import pytest
from checkpoints import shared_folder
from hypothesis import given
from hypothesis import strategies as st
from telemetry_lines import LINES

from edge_runtime.bench.telemetry.tegrastats import Core, Engine, Rail, parse_line

MB = 1 << 20

# line -> RAM used and total in MB, cores (load@MHz or off), a temperature, a rail now/avg/max in mW, GR3D load and MHz
TABLE = {
    "tx1-l4t28": (3468, 3983, "17@408 13@408 29@408 5@408", None, None, ("GR3D", 3, (76,))),
    "tx1-jp3": (1179, 3983, "1@102 4@102 0@102 0@102", ("Tdiode", 42.75), ("VDD_IN", 2532, 2698, None), ("GR3D_FREQ", 0, (76,))),
    "nano-jp4": (613, 3964, "2@102 1@102 0@102 0@102", ("CPU", 40.5), ("POM_5V_IN", 900, 943, None), ("GR3D_FREQ", 0, ())),
    "nano-jp4-sudo": (534, 3964, "16@204 9@204 0@204 0@204", ("thermal", 36.25), ("POM_5V_CPU", 204, 204, None), ("GR3D_FREQ", 0, (76,))),
    "nano-jp461": (1923, 3964, "5@1224 4@1224 3@1224 6@1224", ("AO", 45.0), ("POM_5V_IN", 1750, 1628, None), ("GR3D_FREQ", 0, (76,))),
    "nano-5w": (1901, 3956, "8@102 6@102 off off", ("AO", 48.0), ("POM_5V_GPU", 0, 43, None), ("GR3D_FREQ", 0, ())),
    "tx2-jp4": (2344, 7852, "1@345 off off 1@345 0@345 2@345", ("BCPU", 37.5), ("VDD_SYS_DDR", 883, 883, None), ("GR3D_FREQ", 0, (624,))),
    "tx2-early": (1345, 7829, "2@345 off off off off off", ("GPU", 41.0), ("VDD_GPU", 400, 735, None), ("GR3D_FREQ", 0, (114,))),
    "agx-xavier-jp4": (721, 31927, "2@1190 0@1190 0@1190 0@1190 off off off off", ("thermal", 36.9), ("SYS5V", 1482, 1482, None), ("GR3D_FREQ", 0, (318,))),
    "agx-xavier-jp5-fragment": (None, None, "0@1190 1@1190 0@1190 0@1189 0@1190 0@1191 0@1190 0@1190", ("Tdiode", 38.75), ("VDDRQ", 311, 311, None), ("GR3D_FREQ", 0, (114,))),
    "xavier-nx-jp4": (4412, 7772, "9@1190 6@1190 6@1190 5@1190 4@1190 8@1267", ("thermal", 42.55), ("VDD_SOC", 1353, 1353, None), ("GR3D_FREQ", 62, (306,))),
    "xavier-nx-jp4-busy": (5246, 7771, "47@1420 23@1420 32@1420 22@1420 31@1420 96@1420", ("CPU", 33.5), ("VDD_CPU_GPU_CV", 2706, 2119, None), ("GR3D_FREQ", 0, (1109,))),
    "xavier-nx-jp512": (3168, 6851, "23@1397 17@1192 16@1190 13@1190 23@1190 10@1190", ("thermal", 45.6), ("VDD_IN", 2763, 2846, None), ("GR3D_FREQ", 0, (114,))),
    "agx-orin32-jp5": (1205, 30623, "0@729 0@729 1@729 0@729 0@729 0@730 0@730 0@729 0@729 0@729 0@729 0@729", ("SOC2", 40.062), ("VDDQ_VDD2_1V8AO", 707, 707, None), ("GR3D2_FREQ", 0, (114,))),
    "orin-nx-jp5": (6334, 15388, "6@729 9@729 5@729 16@729 off off off off", ("tj", 48.875), ("VDD_IN", 5299, 5299, None), ("GR3D_FREQ", 0, (611,))),
    "orin-6cpu-jp5": (3503, 7337, "11@729 13@729 9@729 18@729 off off", ("GPU", 41.343), ("VDD_CPU_GPU_CV", 449, 449, None), ("GR3D2_FREQ", 0, (0,))),
    "orin-nx-jp6": (1729, 15657, "1@1420 2@1420 4@1420 3@1420 off off off off", ("gpu", 43.0), ("VDD_SOC", 2464, 2464, None), ("GR3D_FREQ", 0, ())),
    "orin-nano-jp6-sudo": (3645, 7620, "1@729 1@729 4@729 1@729 0@729 0@729", ("soc0", 42.125), ("VDD_IN", 2957, 2957, None), ("GR3D_FREQ", 0, (305,))),
    "orin-nano-jp6": (1905, 7620, "0@729 0@729 1@729 0@729 0@729 0@729", ("soc1", 46.0), ("VDD_IN", 4742, 4742, None), ("GR3D_FREQ", 0, ())),
    "agx-orin32-r36-sudo": (29114, 30697, "3@729 4@729 0@729 1@729 0@2201 100@2201 1@2201 0@2201 100@2201 0@2201 0@2201 0@2201", ("tj", 53.062), ("VDD_CPU_CV", 4405, 4405, None), ("GR3D_FREQ", 0, (305, 305))),
    "agx-orin64-jp6": (2448, 62840, " ".join(["0@2201"] * 12), ("soc2", 37.843), ("VDD_GPU_SOC", 4940, 4940, None), ("GR3D_FREQ", 0, ())),
    "agx-orin64-jp72-sudo": (20642, 62817, "23@2201 10@2201 4@2201 14@2201 30@2201 18@2201 10@2201 10@2201 33@2201 7@2201 5@2201 27@2201", ("cpu", 52.968), ("VIN_SYS_5V0", 5500, 5500, 5500), ("GR3D_FREQ", 12, (1300, 1300))),
    "agx-orin64-jp72": (8179, 62817, "35@729 24@729 16@729 18@729 21@729 21@729 15@729 15@729 27@1113 20@1113 28@1113 32@1113", ("soc1", 47.906), ("VDD_CPU_CV", 1196, 897, 1196), ("GR3D_FREQ", 32, ())),
    "orin-nano-r39": (5739, 7546, "72@1728 75@1728 88@1728 79@1728 87@1728 78@1728", ("cpu", 50.0), ("VDD_IN", 9761, 9761, 9761), ("GR3D_FREQ", 33, ())),
    "thor-jp70": (17842, 125772, "0@972 0@972 0@1566 0@1566 0@972 0@972 0@972 0@972 0@972 0@972 1@972 0@972 0@972 0@972", ("soc345", 31.218), ("VIN", 16802, 16802, None), None),
    "thor-r384": (105265, 125772, "0@972 0@972 0@972 0@972 0@972 0@972 1@972 0@972 0@972 0@972 0@972 8@972 0@972 0@972", ("gpu", 38.875), ("VDD_GPU", 1962, 1962, None), ("GR3D_FREQ", None, (314, 314, 314))),
    "thor-jp72": (36529, 125749, "2@972 1@972 " + "0@972 " * 11 + "2@972", ("tj", 63.281), ("VIN", 87426, 43713, 87426), None),
}  # fmt: skip

# line -> total power in W and what it is of
TOTALS = {
    "tx1-l4t28": None,
    "tx1-jp3": (2.532, "rail VDD_IN"),
    "nano-jp461": (1.750, "rail POM_5V_IN"),
    "tx2-jp4": (3.056, "rail VDD_IN"),
    "agx-xavier-jp4": (3.346, "sum of rails GPU + CPU + SOC + CV + VDDRQ + SYS5V"),
    "agx-orin32-jp5": (9.428, "sum of rails VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"),
    "agx-orin64-jp72": (11.133, "sum of rails VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"),
    "orin-nano-r39": (9.761, "rail VDD_IN"),
    "thor-jp70": (16.802, "rail VIN"),
}


def cores_of(text: str) -> list[Core | None]:
    return [None if word == "off" else Core(*map(int, word.split("@"))) for word in text.split()]


def test_lines_all_are_in_the_table() -> None:
    assert list(TABLE) == list(LINES)


@pytest.mark.parametrize("name", LINES)
def test_line_gives_the_right_numbers(name: str) -> None:
    ram, total, cores, temperature, rail, engine = TABLE[name]
    stats = parse_line(LINES[name])
    assert stats.unknown == []
    assert stats.recognised
    assert stats.ram_used_bytes == (None if ram is None else ram * MB)
    assert stats.ram_total_bytes == (None if total is None else total * MB)
    assert stats.cores == cores_of(cores)
    if temperature is not None:
        assert stats.temperatures_c[temperature[0]] == temperature[1]
    if rail is not None:
        assert stats.rails[rail[0]] == Rail(*rail[1:])
    if engine is not None:
        assert stats.engines[engine[0]] == Engine(*engine[1:])


@pytest.mark.parametrize("name", LINES)
def test_line_every_number_is_kept(name: str) -> None:
    """An independent count: all figures of the line, by what stands around them, come back from the fields."""
    stats = parse_line(LINES[name])
    milliwatts = [int(word) for word in re.findall(r"(\d+)mW", LINES[name])]
    if milliwatts:
        kept = [value for rail in stats.rails.values() for value in (rail.now_mw, rail.avg_mw, rail.max_mw)]
        assert [value for value in kept if value is not None] == milliwatts
    degrees = [float(word) for word in re.findall(r"@(-?[\d.]+)C", LINES[name])]
    assert sorted([*stats.temperatures_c.values(), *[-256.0] * len(stats.sensors_off)]) == sorted(degrees)
    assert sum(engine.off for engine in stats.engines.values()) == len(re.findall(r" off(?= |$)", LINES[name]))
    percents = len(re.findall(r"\d%", LINES[name])) - 2 * (stats.mts_percent is not None)
    loads = [engine for engine in stats.engines.values() if engine.load_percent is not None]
    assert len(loads) + sum(core is not None for core in stats.cores) == percents


@pytest.mark.parametrize("name", TOTALS)
def test_total_power_is_the_board_rail_or_the_sum(name: str) -> None:
    total, expected = parse_line(LINES[name]).total_power(), TOTALS[name]
    assert total == (None if expected is None else (pytest.approx(expected[0]), expected[1]))


def test_line_details_of_memory_swap_and_sensors() -> None:
    stats = parse_line(LINES["nano-jp4-sudo"])
    assert (stats.free_blocks, stats.free_block_bytes) == (98, 4 * MB)
    assert (stats.swap_used_bytes, stats.swap_total_bytes, stats.swap_cached_bytes) == (5 * MB, 1982 * MB, MB)
    assert (stats.iram_used_bytes, stats.iram_total_bytes) == (0, 252 * 1024)
    assert parse_line(LINES["xavier-nx-jp4-busy"]).mts_percent == (1, 9)
    assert parse_line(LINES["agx-orin64-jp72"]).temperatures_max_c["soc1"] == 48.093
    orin = parse_line(LINES["agx-orin32-jp5"])
    assert (orin.time, orin.sensors_off) == ("10-16-2023 10:59:22", ["CV0", "CV1", "CV2"])
    assert {"NC", "NC#2"} < set(orin.rails)
    assert parse_line(LINES["thor-jp70"]).swap_total_bytes is None


def test_reading_leaves_out_what_is_no_figure() -> None:
    reading = parse_line(LINES["nano-5w"]).reading()
    assert "PMIC" not in reading.temperatures_c  # prints 100C whatever the temperature
    assert set(reading.loads_percent) == {"cpu0", "cpu1", "EMC_FREQ", "GR3D_FREQ"}
    assert reading.power_w == pytest.approx(1.154)
    assert reading.rails_w["POM_5V_CPU"] == pytest.approx(0.119)


def test_unknown_fields_are_kept_in_order() -> None:
    stats = parse_line("RAM 100/200MB (lfb 1x1MB) NPU_FREQ 7%@[100,200] FAN 30rpm CPU [1%@100] ???")
    assert stats.unknown == ["FAN", "30rpm", "???"]
    assert stats.engines["NPU_FREQ"] == Engine(7, (100, 200))
    assert stats.reading().unknown == stats.unknown


def test_negative_power_is_kept() -> None:
    assert parse_line("VDD_GPU -12mW/-3mW").rails["VDD_GPU"] == Rail(-12, -3, None)


@pytest.mark.parametrize(
    "line", ["", "\n", "\0\xff\ufffd", "RAM", "RAM 1/", "CPU [", "sh: tegrastats: not found", "x" * 100_000]
)
def test_garbage_lines_are_not_recognised(line: str) -> None:
    assert not parse_line(line).recognised


@given(st.text())
def test_any_text_survives(line: str) -> None:
    parse_line(line)


@given(st.sampled_from(list(LINES.values())), st.integers(0, 400), st.characters())
def test_damaged_line_survives_and_keeps_its_words(line: str, at: int, replacement: str) -> None:
    stats = parse_line(line[:at] + replacement + line[at + 1 :])
    assert stats.recognised or at < 40


def test_shared_samples_are_all_recognised() -> None:
    text = (shared_folder("boards") / "tegrastats_samples.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not parse_line(line).recognised or parse_line(line).unknown] == []
    assert sorted(lines) == sorted(LINES.values())
