"""Which board is this: on the strings that real boards give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checkpoints import shared_folder

from boards.detect import detect, identify, jetpack_of, power_mode

GIB = 1 << 20  # in the kB of /proc/meminfo


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def device_tree(model: str, kib: int | None = None, compatible: str = "", **more: str) -> dict[str, str]:
    """The files of a board with a device tree; strings there end with NUL."""
    files = {"proc/device-tree/model": model + "\0", **more}
    if compatible:
        files["proc/device-tree/compatible"] = compatible.replace(" ", "\0") + "\0"
    if kib:
        files["proc/meminfo"] = f"MemTotal:  {kib} kB\nMemFree: 1 kB\nMemAvailable: 2 kB\n"
    return files


# Model string, total memory in kB as Linux gives it there (0: not known), profile.
CAPTURED = [
    ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", 7802844, "jetson-orin-nano-8gb-super"),
    ("NVIDIA Orin Nano Developer Kit", int(6.3 * GIB), "jetson-orin-nano-8gb"),
    ("NVIDIA Jetson Orin Nano Super Developer Kit", 0, "jetson-orin-nano-8gb-super"),
    ("NVIDIA Orin NX Developer Kit", 15657 * 1024, "jetson-orin-nx-16gb"),
    ("NVIDIA Jetson AGX Orin Developer Kit", 64349016, "jetson-agx-orin-64gb"),
    ("NVIDIA Orin Jetson-Small Developer Kit", 29 * GIB, "jetson-agx-orin-32gb"),
    ("AAEON BOXER-8654AI_RefKit` platform", int(7.4 * GIB), "jetson-orin-nano-8gb-super"),
    ("NVIDIA Jetson AGX Thor Developer Kit", 125772 * 1024, "jetson-agx-thor-t5000"),
    ("NVIDIA Jetson Xavier NX Developer Kit", 7771 * 1024, "jetson-xavier-nx-8gb"),
    ("Jetson-AGX", 31927 * 1024, "jetson-agx-xavier-32gb"),
    ("NVIDIA Jetson Nano Developer Kit", 3964 * 1024, "jetson-nano-4gb"),
    ("jetson-nano", 3964 * 1024, "jetson-nano-4gb"),
    ("quill", 7852 * 1024, "jetson-tx2-8gb"),
    ("Raspberry Pi 4 Model B Rev 1.1", int(7.7 * GIB), "raspberry-pi-4-8gb"),
    ("Raspberry Pi 4 Model B Rev 1.4", 7819 * 1024, "raspberry-pi-4-8gb"),
    ("Raspberry Pi 5 Model B Rev 1.0", 8049 * 1000, "raspberry-pi-5"),
    ("Raspberry Pi 5 Model B Rev 1.1", 15 * GIB, "raspberry-pi-5"),
    ("Xunlong Orange Pi 5 Plus", 31790 * 1024, "orange-pi-5-plus"),
    ("Radxa ROCK 5B", 15 * GIB, "radxa-rock-5b"),
    ("Thundercomm, Inc. Rubik Pi C6490P", int(7.2 * GIB), "rubik-pi-3-qcs6490"),
    ("Radxa Dragon Q6A", 0, "rubik-pi-3-qcs6490"),
]
SISTERS = [
    ("NVIDIA Jetson Nano 2GB Developer Kit", "jetson-nano-4gb"),
    ("lanai-3636", "jetson-tx2-8gb"),
    ("RK3588 OPi 5 Max", "orange-pi-5-plus"),
    ("Orange Pi 5", "orange-pi-5-plus"),
]
UNKNOWN = ["NVIDIA Jetson TX1 Developer Kit", "Some Board"]


@pytest.mark.parametrize(("model", "kib", "expected"), CAPTURED, ids=[case[0] for case in CAPTURED])
def test_detect_captured_model_finds_its_profile(model: str, kib: int, expected: str, tmp_path: Path) -> None:
    found = detect(machine(tmp_path, device_tree(model, kib)), "aarch64")
    assert found.profile is not None
    assert found.profile.id == expected
    assert found.exact


@pytest.mark.parametrize(("model", "expected"), SISTERS)
def test_detect_sister_board_is_not_exact(model: str, expected: str, tmp_path: Path) -> None:
    found = detect(machine(tmp_path, device_tree(model)), "aarch64")
    assert found.profile is not None
    assert (found.profile.id, found.exact) == (expected, False)


# Model, compatible, MiB of memory, nearest profile.
NEAREST = {
    "less memory": ("Raspberry Pi 5 Model B Rev 1.1", "raspberrypi,5-model-b brcm,bcm2712", 4038, "raspberry-pi-5"),
    "half the memory": (
        "Raspberry Pi 4 Model B Rev 1.5", "raspberrypi,4-model-b brcm,bcm2711", 3900, "raspberry-pi-4-8gb"
    ),
    "sister with the module's number": (
        "NVIDIA Jetson Nano 2GB Developer Kit", "nvidia,p3542-0000+p3448-0003 nvidia,jetson-nano nvidia,tegra210",
        1979, "jetson-nano-4gb",
    ),
    "more memory": (
        "NVIDIA Jetson Xavier NX Developer Kit", "nvidia,p3449-0000+p3668-0003", 15800, "jetson-xavier-nx-8gb"
    ),
    "sister by the processor": ("Raspberry Pi 500", "raspberrypi,500 brcm,bcm2712", 8064, "raspberry-pi-5"),
    "sister by the processor, memory decides": (
        "Radxa ROCK 5B+", "radxa,rock-5b-plus rockchip,rk3588", 31790, "orange-pi-5-plus"
    ),
    "sister module of the same size": (
        "A carrier", "nvidia,p2822-0000+p2888-0008 nvidia,tegra194", 31927, "jetson-agx-xavier-32gb"
    ),
    "Super configuration without a profile": (
        "A carrier", "nvidia,p3768-0000+p3767-0000-super nvidia,p3767-0000 nvidia,tegra234", 15657,
        "jetson-orin-nx-16gb",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NEAREST)
def test_detect_nearly_known_board_is_nearest_and_not_exact(case: str, tmp_path: Path) -> None:
    model, compatible, mib, expected = NEAREST[case]
    found = detect(machine(tmp_path, device_tree(model, mib * 1024, compatible)), "aarch64")
    assert found.profile is not None
    assert (found.profile.id, found.exact) == (expected, False)


@pytest.mark.parametrize(
    ("compatible", "modes"),
    [
        ("nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234", "15W"),
        ("nvidia,p3767-0003-super nvidia,tegra234", "15W"),
        ("nvidia,p3768-0000+p3767-0003 nvidia,p3767-0003 nvidia,tegra234", "MAXN_SUPER"),
    ],
)
def test_detect_super_configuration_on_any_carrier_is_the_super_profile(
    compatible: str, modes: str, tmp_path: Path
) -> None:
    files = device_tree("Some maker's carrier", 7620 * 1024, compatible)
    files["etc/nvpmodel.conf"] = f"< POWER_MODEL ID=0 NAME=7W >\n< POWER_MODEL ID=2 NAME={modes} >\nCPU_ONLINE 1\n"
    found = detect(machine(tmp_path, files), "aarch64")
    assert found.profile is not None
    assert (found.profile.id, found.exact) == ("jetson-orin-nano-8gb-super", True)
    assert found.identity.power_modes == ("7W", modes)


@pytest.mark.parametrize("model", UNKNOWN)
def test_detect_board_without_profile_finds_none(model: str, tmp_path: Path) -> None:
    found = detect(machine(tmp_path, device_tree(model, 4 * GIB)), "aarch64")
    assert found.profile is None
    assert found.identity.model == model


def test_detect_every_string_of_the_collection_is_tested_here() -> None:
    text = (shared_folder("boards") / "device_tree_models.txt").read_text(encoding="utf-8")
    section = text.split("## /proc/device-tree/model")[1].split("\n## ")[0]
    collected = {line.split("]", 1)[1].split(" | ")[0].strip() for line in section.splitlines() if line.startswith("[")}
    tested = {case[0] for case in CAPTURED} | {case[0] for case in SISTERS} | set(UNKNOWN)
    assert collected <= tested


@pytest.mark.parametrize(
    ("compatible", "kib", "expected"),
    [
        ("nvidia,p3768-0000+p3767-0000 nvidia,p3767-0000 nvidia,tegra234", 15657 * 1024, "jetson-orin-nx-16gb"),
        ("nvidia,p3768-0000+p3767-0001 nvidia,p3767-0001 nvidia,tegra234", 7 * GIB, "jetson-orin-nx-8gb"),
        ("nvidia,p3768-0000+p3767-0004 nvidia,p3767-0004 nvidia,tegra234", 0, "jetson-orin-nano-4gb"),
        ("nvidia,p3737-0000+p3701-0005 nvidia,tegra234", 62840 * 1024, "jetson-agx-orin-64gb"),
        ("nvidia,p4071-0000+p3834-0008 nvidia,tegra264", 125772 * 1024, "jetson-agx-thor-t5000"),
        ("nvidia,p4071-0000+p3834-0000 nvidia,tegra264", 0, "jetson-t4000"),
        ("xunlong,orangepi-5-plus rockchip,rk3588", 0, "orange-pi-5-plus"),
    ],
)
def test_detect_module_number_decides(compatible: str, kib: int, expected: str, tmp_path: Path) -> None:
    found = detect(machine(tmp_path, device_tree("A carrier of one's own", kib, compatible)), "aarch64")
    assert found.profile is not None
    assert found.profile.id == expected


def test_detect_module_wins_over_a_developer_kits_name(tmp_path: Path) -> None:
    files = device_tree("NVIDIA Orin NX Developer Kit", 7 * GIB, "nvidia,p3768-0000+p3767-0003 nvidia,tegra234")
    found = detect(machine(tmp_path, files), "aarch64")
    assert found.profile is not None
    assert found.profile.id == "jetson-orin-nano-8gb"


def test_detect_memory_decides_between_modules_of_one_name(tmp_path: Path) -> None:
    name, compatible = "NVIDIA Jetson AGX Orin Developer Kit", "nvidia,p3737-0000+p3701-0000 nvidia,tegra234"
    for kib, expected in ((62840 * 1024, "jetson-agx-orin-64gb"), (30623 * 1024, "jetson-agx-orin-32gb")):
        found = detect(machine(tmp_path, device_tree(name, kib, compatible)), "aarch64")
        assert found.profile is not None
        assert found.profile.id == expected


def test_identify_jetpack_4_board_ids_and_file_name_give_the_module(tmp_path: Path) -> None:
    tree = "proc/device-tree"
    files = device_tree("jetson-nano")
    files[f"{tree}/nvidia,dtsfilename"] = "/dvs/git/dirty/hardware/tegra210-p3448-0000-p3449-0000-b00.dts\0"
    files[f"{tree}/nvidia,boardids"] = "3448:0000:300\0"
    assert identify(machine(tmp_path, files)).modules == ("p3448-0000", "p3449-0000")


def test_detect_x86_board_by_dmi_or_processor(tmp_path: Path) -> None:
    dmi = machine(tmp_path / "dmi", {"sys/class/dmi/id/product_name": "ADL-N\n"})
    cpu = machine(tmp_path / "cpu", {"proc/cpuinfo": "processor : 0\nmodel name\t: Intel(R) N100\n"})
    for root in (dmi, cpu):
        found = detect(root, "x86_64")
        assert found.profile is not None
        assert (found.profile.id, found.exact) == ("intel-n100", True)


def test_detect_any_other_x86_machine_is_generic(tmp_path: Path) -> None:
    root = machine(tmp_path, {"sys/class/dmi/id/product_name": "To Be Filled By O.E.M.\n"})
    found = detect(root, "x86_64")
    assert found.profile is not None
    assert (found.profile.id, found.exact) == ("generic-x86-64", False)
    assert found.identity.dmi == ()


@pytest.mark.parametrize(
    ("line", "release", "jetpack"),
    [
        ("# R39 (release), REVISION: 2.0, GCID: 45755727, BOARD: generic, EABI: aarch64", "39.2.0", "7.2"),
        ("# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64", "38.2.0", "7.0"),
        ("# R38 (release), REVISION: 4.0, GCID: 43443517, BOARD: generic, EABI: aarch64", "38.4.0", "7.1"),
        ("# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64", "36.4.7", "6.2.1"),
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "35.4.1", "5.1.2"),
        ("# R35 (release), REVISION: 3.1, GCID: 32790763, BOARD: t186ref, EABI: aarch64", "35.3.1", "5.x"),
        ("# R34 (release), REVISION: 1.1, GCID: 30414990, BOARD: t186ref, EABI: aarch64", "34.1.1", "5.x"),
        ("# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64", "32.7.1", "4.x"),
    ],
)  # fmt: skip
def test_identify_tegra_release_gives_release_and_jetpack(
    line: str, release: str, jetpack: str, tmp_path: Path
) -> None:
    found = identify(machine(tmp_path, {"etc/nv_tegra_release": line + "\n# KERNEL_VARIANT: oot\n"}))
    assert (found.l4t_release, found.jetpack) == (release, jetpack)


def test_identify_tegra_release_board_field_is_ignored(tmp_path: Path) -> None:
    line = "# R32 (release), REVISION: 7.1, GCID: 29689809, BOARD: t186ref, EABI: aarch64\n"
    root = machine(tmp_path, {"etc/nv_tegra_release": line, **device_tree("Some Board")})
    assert detect(root, "aarch64").profile is None


def test_identify_every_release_line_of_the_collection_is_read(tmp_path: Path) -> None:
    text = (shared_folder("boards") / "device_tree_models.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^\[.\] (# R\d+ \(release\).*?)\s*\|", text, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        found = identify(machine(tmp_path, {"etc/nv_tegra_release": line}))
        assert found.l4t_release is not None
        assert found.jetpack not in (None, "unknown")


def test_jetpack_of_future_release_is_unknown() -> None:
    assert jetpack_of("47.1") == "unknown"


def test_identify_bare_machine_says_nothing(tmp_path: Path) -> None:
    found = identify(tmp_path, "riscv64")
    assert (found.model, found.compatible, found.modules, found.dmi, found.memory_total) == ("", (), (), (), None)
    assert detect(tmp_path, "riscv64").profile is None


def test_detect_this_machine_answers() -> None:
    assert detect().identity.memory_total


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("NV Power Mode: 15W\n0\n", "15W"),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER"),
        ("NV Power Mode: MODE_15W_6CORE\n2\n", "MODE_15W_6CORE"),
        ("NV Power Mode: MAXN SUPER\r\n2\n", "MAXN_SUPER"),
        ("nvpmodel: command not found\n", None),
        ("2\n", None),
    ],
)
def test_power_mode_is_the_name_never_the_number(output: str, expected: str | None) -> None:
    assert power_mode(output) == expected
