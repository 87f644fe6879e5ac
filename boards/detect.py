"""Which board is this: from the device tree, nv_tegra_release, DMI and memory, never from one of them alone.

A carrier may report the developer kit's name, and one name may stand for several modules; `BOARD:` in
nv_tegra_release is not the board. So every profile is scored by all that is known, and memory decides between modules
of one family.
"""

from __future__ import annotations

import fnmatch
import functools
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from boards.profile import Profile, load, names

_ROOT = Path("/")
_RELEASE = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
_MODULE = re.compile(r"p\d{4}(?:-\d{4})?")
_POWER_MODE = re.compile(r"^NV Power Mode:[ \t]*(\S.*?)\s*$", re.MULTILINE)
_MODE_NAME = re.compile(r"<\s*POWER_MODEL\s+ID=\d+\s+NAME=(\S+)\s*>")
_SUPER = re.compile(r"(?<![a-z])super(?![a-z])", re.IGNORECASE)  # "...-super", "... Kit Super", "MAXN_SUPER"
_GENERIC = ("machine",)
_NEAREST = ("similar", "soc", "machine")
_DMI_PLACEHOLDERS = {"", "default string", "to be filled by o.e.m.", "system product name", "not specified"}

JETPACK_BY_RELEASE = {
    "39.2": "7.2", "38.4": "7.1", "38.2": "7.0", "36.5": "6.2.2", "36.4.7": "6.2.1", "35.6.4": "5.1.6",
    "35.4.1": "5.1.2", "32.7.6": "4.6.6",
}  # fmt: skip
"""Releases whose JetPack the collected facts confirm; the longest prefix counts. Others have only a major version."""
_JETPACK_MAJOR = {39: 7, 38: 7, 36: 6, 35: 5, 34: 5, 32: 4}


@dataclass(frozen=True)
class Identity:
    """What a machine says of itself. Empty texts and None: it does not say. Memory in bytes."""

    model: str = ""
    compatible: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    l4t_release: str | None = None
    jetpack: str | None = None
    dmi: tuple[str, ...] = ()
    cpu: str = ""
    machine: str = ""
    cores: int | None = None
    memory_total: int | None = None
    power_modes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Detection:
    """The best profile and why. None: no profile fits.

    `exact` is False for a sister board, another amount of memory, a Super configuration that the profile does not
    know, a mere processor or machine type: its figures may not hold then.
    """

    profile: Profile | None
    exact: bool
    reasons: tuple[str, ...]
    identity: Identity


def identify(root: Path = _ROOT, machine: str | None = None) -> Identity:
    """Read who this is below `root`; `machine` is the architecture (default: this one's)."""
    tree = root / "proc/device-tree"  # a link to the other one, where /proc is not a container's
    if not tree.exists():
        tree = root / "sys/firmware/devicetree/base"
    compatible = tuple(part for part in _text(tree / "compatible").split("\0") if part)
    release = _RELEASE.search(_text(root / "etc/nv_tegra_release"))
    l4t = f"{release[1]}.{release[2]}" if release else None
    cpuinfo = _text(root / "proc/cpuinfo")
    cpu = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return Identity(
        model=_clean(_text(tree / "model")),
        compatible=compatible,
        modules=_modules(tree, compatible),
        l4t_release=l4t,
        jetpack=jetpack_of(l4t) if l4t else None,
        dmi=_dmi(root / "sys/class/dmi/id"),
        cpu=cpu.group(1).strip() if cpu else "",
        machine=platform.machine() if machine is None else machine,
        cores=len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)) or None,
        memory_total=_memory_total(root),
        power_modes=tuple(_mode_name(name) for name in _MODE_NAME.findall(_text(root / "etc/nvpmodel.conf"))),
    )


def detect(root: Path = _ROOT, machine: str | None = None, profiles: Sequence[Profile] | None = None) -> Detection:
    """Find the profile that fits the machine below `root` best, among `profiles` (default: those of the package)."""
    identity = identify(root, machine)
    candidates = _packaged() if profiles is None else profiles
    scored = [(*_score(profile, identity), profile) for profile in candidates]
    points, reasons, profile = max(scored, key=lambda entry: entry[0], default=(0.0, (), None))
    if profile is None or points <= 0:
        return Detection(None, False, (), identity)
    return Detection(profile, _is_exact(profile, identity, reasons), reasons, identity)


def jetpack_of(l4t_release: str) -> str:
    """Return JetPack's version for a Jetson Linux release: "6.2.1" for "36.4.7", "6.x" if only the major is known."""
    parts = l4t_release.split(".")
    for count in range(len(parts), 1, -1):
        known = JETPACK_BY_RELEASE.get(".".join(parts[:count]))
        if known:
            return known
    major = _JETPACK_MAJOR.get(int(parts[0]))
    return f"{major}.x" if major else "unknown"


def power_mode(nvpmodel_output: str) -> str | None:
    """Return the name of the power mode in what `nvpmodel -q` printed, or None.

    The number beside it is left alone: the same number is another mode on another module of the family.
    """
    found = _POWER_MODE.search(nvpmodel_output)
    return _mode_name(found.group(1)) if found else None


def current_power_mode() -> str | None:
    """Return the name of this Jetson's power mode; None elsewhere."""
    try:
        done = subprocess.run(
            ["nvpmodel", "-q"], capture_output=True, encoding="utf-8", errors="replace", timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return power_mode(done.stdout)


@functools.cache
def _packaged() -> tuple[Profile, ...]:
    return tuple(load(name) for name in names())


def _score(profile: Profile, identity: Identity) -> tuple[float, tuple[str, ...]]:
    points, reasons = 0.0, []
    for key, worth, got in (
        ("module", 4.0, identity.modules),
        ("compatible", 3.0, identity.compatible),
        ("model", 2.0, (identity.model,)),
        ("dmi", 2.0, identity.dmi),
        ("cpu", 2.0, (identity.cpu,)),
        ("similar", 1.0, (identity.model, *identity.compatible, *identity.modules)),
        ("soc", 1.0, identity.compatible),
        ("machine", 0.5, (identity.machine,)),
    ):
        patterns = (profile.soc or "",) if key == "soc" else profile.match.get(key, ())
        hit = next((text for text in got if text and _matches(text, patterns, key)), None)
        if hit is not None:
            points += worth
            reasons.append(f"{key}: {hit}")
    if not points or reasons[0].startswith(_GENERIC):
        return points, tuple(reasons)
    if _knows_super(profile) and (word := _super(identity)):
        points += 1.0
        reasons.append(f"super: {word}")
    if _memory_fit(profile, identity.memory_total):
        points += 3.0
        reasons.append(f"memory: {identity.memory_total} bytes")
    return points, tuple(reasons)


def _is_exact(profile: Profile, identity: Identity, reasons: Sequence[str]) -> bool:
    kinds = {reason.partition(":")[0] for reason in reasons}
    named = kinds - {*_NEAREST, "memory", "super"}
    if not named or "similar" in kinds or _memory_fit(profile, identity.memory_total) is False:
        return False
    return _knows_super(profile) or _super(identity) is None


def _super(identity: Identity) -> str | None:
    """What says that the board runs NVIDIA's Super configuration, with its higher clocks; None if nothing does."""
    words = (identity.model, *identity.compatible, *identity.power_modes)
    return next((word for word in words if _SUPER.search(word)), None)


def _knows_super(profile: Profile) -> bool:
    return any(_SUPER.search(pattern) for pattern in profile.match.get("model", ()))


def _mode_name(text: str) -> str:
    """A power mode's name as profiles have it: some releases write MAXN SUPER for MAXN_SUPER."""
    return "_".join(text.split())


def _matches(text: str, patterns: Sequence[str], key: str) -> bool:
    """Whether a pattern is the text; `*` at a pattern's end, and the end of a module's number, stand for anything."""
    if key == "module":
        return any(text == pattern or text.startswith(pattern + "-") for pattern in patterns)
    if key == "cpu":
        return any(pattern in text for pattern in patterns)
    if key == "soc":
        return any(pattern.lower() == text.rpartition(",")[2].lower() for pattern in patterns)
    return any(fnmatch.fnmatchcase(text, pattern.replace("[", "[[]")) for pattern in patterns)


def _memory_fit(profile: Profile, total: int | None) -> bool | None:
    """Whether Linux's total is what it leaves of one of the capacities on sale; None if either is unknown."""
    capacities = profile.capacities()
    if total is None or not capacities:
        return None
    return any(0.7 * capacity <= total <= capacity for capacity in capacities)


def _modules(tree: Path, compatible: Sequence[str]) -> tuple[str, ...]:
    """Part numbers such as p3767-0005: `compatible` (JetPack 6 on), board ids and device tree file name (before)."""
    places = [part for part in compatible if part.startswith("nvidia,")]
    places.append(_text(tree / "nvidia,dtsfilename").rsplit("/", 1)[-1])
    found = [number for place in places for number in _MODULE.findall(place)]
    boards = re.findall(r"\b(\d{4})[:-](?:0*(\d{4}))?", _text(tree / "nvidia,boardids"))
    found += [f"p{board}-{sku}" if sku else f"p{board}" for board, sku in boards]
    return tuple(dict.fromkeys(found))


def _dmi(folder: Path) -> tuple[str, ...]:
    found = (_clean(_text(folder / name)) for name in ("product_name", "board_name", "sys_vendor"))
    return tuple(text for text in found if text.lower() not in _DMI_PLACEHOLDERS)


def _memory_total(root: Path) -> int | None:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _clean(text: str) -> str:
    """Without the closing NUL, blanks, and a backtick and word that one maker's firmware leaves behind."""
    return text.strip("\0 \n\t").split("`")[0].strip()


def _text(file: Path) -> str:
    """The file's text; "" where there is none: no machine has all of these files."""
    try:
        return file.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
