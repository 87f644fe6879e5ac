"""Profiles: those of the package against the collected facts, and what the schema refuses."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from checkpoints import shared_folder

from boards import Profile, ProfileError, load, names
from boards.dump import to_toml
from boards.profile import parse
from boards.schema import FIELDS, KINDS

SPEED = '{ value = 9.5, unit = "GB/s", threads = 2, kind = "measured", source = "here" }'
GOOD = f"""schema = 1
id = "mine"
name = "My board"

[memory]
capacity = {{ value = [4, 8], unit = "GB", kind = "vendor", source = "data sheet" }}
cpu_read = [
  {SPEED},
]
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def collected() -> dict[str, Any]:
    """The facts of each board, by id."""
    boards = json.loads((shared_folder("boards") / "boards.json").read_text(encoding="utf-8"))["boards"]
    return {board["id"]: board for board in boards}


def values(profile: Profile, field: str) -> list[Any]:
    return [figure.value for figure in profile.all(field)]


def test_profiles_all_twenty_load() -> None:
    assert len(names()) == 20
    for name in names():
        profile = load(name)
        assert profile.id == name
        assert profile.name


def test_profiles_every_figure_has_kind_and_source_and_every_number_a_unit() -> None:
    count = 0
    for name in names():
        profile = load(name)
        figures = [(field, figure) for field, all_ in profile.figures.items() for figure in all_]
        figures += [(f"software.{field}", figure) for entry in profile.software for field, figure in entry.items()]
        for field, figure in figures:
            count += 1
            assert figure.kind in KINDS
            assert figure.source
            assert (figure.unit is not None) == (FIELDS[field].type == "number")
    assert count > 500


def test_profiles_are_those_of_the_collection() -> None:
    assert set(collected()) == set(names())


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("memory.capacity", ("dram", "capacity_gb")),
        ("memory.bus_width", ("dram", "bus_bits")),
        ("cpu.cores", ("cpu", "cores")),
        ("cpu.clock", ("cpu", "max_mhz")),
        ("gpu.cuda_cores", ("gpu", "cuda_cores")),
        ("gpu.clock", ("gpu", "max_mhz")),
        ("cpu.isa", ("cpu", "isa")),
        ("memory.type", ("dram", "type")),
    ],
)
def test_profiles_say_what_the_collection_says(field: str, path: tuple[str, str]) -> None:
    for name, facts in collected().items():
        fact = facts[path[0]][path[1]]
        expected = [] if fact is None or fact["value"] is None else [fact["value"]]
        assert values(load(name), field) == expected, name


def test_profiles_power_modes_are_names() -> None:
    for name, facts in collected().items():
        modes = values(load(name), "power.modes")
        assert not any(mode.isdigit() for mode in modes)
        if facts["power_modes"] and facts["power_modes"]["kind"] != "community":
            assert modes, name


def test_profiles_multi_thread_reads_keep_their_threads() -> None:
    reads = load("raspberry-pi-5").all("memory.cpu_read")
    stream = {figure.details["threads"]: figure.value for figure in reads if "STREAM" in figure.details["method"]}
    assert stream == {1: 9.26, 2: 13.23, 4: 11.59}


def test_profiles_serial_speed_of_rockchip_boards_is_its_own() -> None:
    assert values(load("radxa-rock-5b"), "serial.baud") == [1500000]
    assert values(load("jetson-orin-nano-8gb-super"), "serial.baud") == [115200]


@pytest.mark.parametrize("name", names())
def test_profile_written_and_read_again_is_equal(name: str, tmp_path: Path) -> None:
    profile = load(name)
    again = load(write(tmp_path, to_toml(profile)))
    assert (again.figures, again.software, again.notes, again.match) == (
        profile.figures,
        profile.software,
        profile.notes,
        profile.match,
    )


def test_profile_awkward_text_survives_writing(tmp_path: Path) -> None:
    facts = json.loads(json.dumps({"value": 'a "quote", \\ and é\x7f\n', "kind": "vendor", "source": "x"}))
    profile = parse({"schema": 1, "id": "a", "name": "b", "cpu": {"model": facts}})
    assert load(write(tmp_path, to_toml(profile))).figures == profile.figures


def test_profile_of_ones_own_is_given_by_path(tmp_path: Path) -> None:
    profile = load(write(tmp_path, GOOD))
    assert profile.capacities() == [4 << 30, 8 << 30]
    speed = profile.get("memory.cpu_read")
    assert speed is not None
    assert (speed.bytes_per_s, dict(speed.details)) == (9.5e9, {"threads": 2})


def test_profile_unknown_is_absent_and_never_zero(tmp_path: Path) -> None:
    profile = load(write(tmp_path, GOOD))
    assert profile.get("memory.bandwidth") is None
    assert profile.all("memory.gpu_read") == ()
    with pytest.raises(KeyError):
        profile.get("memory.bandwith")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema: got 2"),
        ("schema = 1\n", "", "schema: got 'nothing'"),
        ('id = "mine"', "", "id: got None"),
        ('name = "My board"', "name = 5", "name: got 5"),
        ("value = 9.5", "value = 0", "above 0; leave out what is unknown"),
        ("value = 9.5", "value = -1", "above 0"),
        ("value = 9.5", "value = nan", "above 0"),
        ("value = 9.5", "value = inf", "above 0"),
        ("value = 9.5", 'value = "9.5"', "a number above 0"),
        ("value = 9.5", "value = true", "a number above 0"),
        ("value = 9.5, ", "", "got {'unit'"),
        ("value = [4, 8]", "value = []", "at least one value"),
        ('unit = "GB/s", ', "", r"cpu_read\[0\].unit"),
        ('unit = "GB/s"', 'unit = "GiB/s"', "expected GB/s"),
        ('kind = "measured"', 'kind = "guess"', "one of vendor, measured, derived"),
        ('kind = "measured", ', "", r"cpu_read\[0\].kind"),
        (', source = "here"', "", r"cpu_read\[0\].source"),
        ('source = "here"', 'source = ""', "every figure says where it is from"),
        ("threads = 2, ", "", r"cpu_read\[0\].threads"),
        ("threads = 2", "threads = 2.5", "threads: got 2.5"),
        ("threads = 2", "cores = 2", r"cpu_read\[0\].cores"),
        (f"[\n  {SPEED},\n]", SPEED, "a list of figures"),
        (f"  {SPEED},\n", "", "a list of figures"),
        ("[memory]", "[memories]", "memories"),
        ("capacity =", "capasity =", "memory.capasity"),
        ("[memory]", "[match]\nmodel = 5\n[memory]", "match.model"),
        ("[memory]", '[match]\nname = ["x"]\n[memory]', "match.name"),
        ("[memory]", "[[software]]\nlinux = 1\n[memory]", r"software\[0\].linux"),
        ("[memory]", "[memory", "is not TOML"),
    ],
)
def test_profile_malformed_is_refused_by_field(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    with pytest.raises(ProfileError, match=message) as raised:
        load(write(tmp_path, GOOD.replace(old, new, 1)))
    assert "mine.toml" in str(raised.value)


def test_profile_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="cannot be read"):
        load(tmp_path / "x.toml")


def test_profile_unknown_name_suggests_one() -> None:
    with pytest.raises(ProfileError, match="did you mean raspberry-pi-5"):
        load("rasberry-pi5")
    with pytest.raises(ProfileError, match="cannot be read"):
        load("nowhere/board.toml")


def test_profile_data_files_are_beside_the_module() -> None:
    folder = Path(str(importlib.import_module("boards").__file__)).parent / "profiles"
    assert {file.name for file in folder.iterdir()} == {f"{name}.toml" for name in names()}
