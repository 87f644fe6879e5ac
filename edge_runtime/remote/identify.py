"""What the board is, asked with nothing but its shell: nothing is written there."""

from __future__ import annotations

import base64
import contextlib
import re
import shlex
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards import Profile
from boards.detect import Detection, Identity, detect, power_mode
from edge_runtime.bench.records import BoardBefore
from edge_runtime.bench.telemetry.procfs import meminfo
from edge_runtime.io.printable import printable
from edge_runtime.io.units import format_bytes
from edge_runtime.remote.shell import script

OLDEST_PYTHON = (3, 10)
CLOCK_LIMIT_S = 60.0
"""A clock that is further off than this is worth a warning."""

# Files that tell what a machine is; boards/detect.py and telemetry read them.
_TREE = "sys/firmware/devicetree/base"
_FILES = (
    *(f"{_TREE}/{name}" for name in ("model", "compatible", "nvidia,dtsfilename", "nvidia,boardids")),
    "etc/nv_tegra_release", "etc/nvpmodel.conf", "etc/os-release", "proc/cpuinfo", "proc/meminfo",
    "sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name", "sys/class/dmi/id/board_name",
)  # fmt: skip
_LIMIT_SECONDS = 45.0
_PYTHONS = "python3 python3.14 python3.13 python3.12 python3.11 python3.10"
_SCRIPT = r"""
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
tell() { say "$1=$2"; }
limited() { if command -v timeout >/dev/null 2>&1; then timeout 10 "$@"; else "$@"; fi; }
tell machine "$(uname -m)"; tell home "$HOME"; tell now "$(date +%s)"; tell account "$(id -un 2>/dev/null)"
given=__FOLDER__
case $given in
  '') root=${XDG_CACHE_HOME:-$HOME/.cache} ;;
  /*) root=$given ;;
  '~') root=$HOME ;;
  '~/'*) root=$HOME/${given#'~/'} ;;
  *) root=$HOME/$given ;;
esac
case $root in *[[:cntrl:]]*) root= ;; *) tell root "$root/lpc-bench" ;; esac
folder=$root
while [ -n "$folder" ] && [ ! -e "$folder" ]; do folder=${folder%/*}; done
folder=${folder:-/}
tell free_kb "$(df -Pk -- "$folder" | awk 'NR==2 {print $4}')"
tell writable "$([ -d "$folder" ] && [ -w "$folder" ] && echo yes)"
ask='
import importlib.util, platform, sys
from importlib import metadata
try: ort = metadata.version("onnxruntime")
except Exception: ort = "-"
venv = "venv" if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv") else "-"
print()
print("lpc-bench", "%d.%d.%d" % sys.version_info[:3], venv, ort, *platform.libc_ver())
'
for python in __PYTHONS__; do
  if command -v "$python" >/dev/null 2>&1; then
    answer=$(limited "$python" -c "$ask" 2>/dev/null </dev/null | grep '^lpc-bench ')
    answer=${answer#lpc-bench }
    version=${answer%% *}
    tell seen "$python ${version:-(does not answer)}"
    case $version in 3.1[0-9].*|3.[2-9][0-9].*)
      tell python "$(command -v "$python")"; tell about "$answer"
      break;; esac
  fi
done
tell clocks "$(cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq 2>/dev/null | tr '\n' ' ')"
tell governor "$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null)"
tell heat "$(cat /sys/class/thermal/thermal_zone*/temp 2>/dev/null | tr '\n' ' ')"
tell power "$(limited nvpmodel -q 2>/dev/null </dev/null | grep 'NV Power Mode')"
cd / && for file in __FILES__; do
  if [ -r "$file" ]; then say "file $file $(head -c __SHARE__ "$file" 2>/dev/null | base64 | tr -d '\n')"; fi
done
"""
_SHARE = 45000
"""Bytes of a file that an answer has room for in base64."""
_MOST_DIGITS = 12


@dataclass(frozen=True)
class Board:
    """What is known of the board before anything is put there. Sizes in bytes; None and "": it does not say."""

    machine: str
    home: str
    account: str
    root: str
    python: str
    python_version: str
    pythons_seen: tuple[str, ...]
    has_venv: bool
    libc: str
    onnxruntime: str
    free_bytes: int | None
    writable: bool
    memory_available: int | None
    profile: Profile | None
    exact: bool
    identity: Identity
    os_name: str
    power_mode: str | None
    governor: str
    clock_mhz: float | None
    temperature_c: float | None
    clock_skew_s: float

    def before(self) -> BoardBefore:
        """For the result: what was seen before the run."""
        return BoardBefore(
            machine=self.machine,
            os=self.os_name,
            python=self.python_version,
            libc=self.libc,
            onnxruntime=self.onnxruntime,
            free_bytes=self.free_bytes,
            memory_available_bytes=self.memory_available,
            board=self.profile.id if self.profile else None,
            jetpack=self.identity.jetpack,
            power_mode=self.power_mode,
            governor=self.governor,
            clock_mhz=self.clock_mhz,
            temperature_c=self.temperature_c,
            clock_skew_s=round(self.clock_skew_s, 1),
        )

    def describe(self) -> str:
        """One line for people."""
        parts = [
            self.identity.model or (self.profile.name if self.profile else "unknown board"),
            self.machine,
            f"JetPack {self.identity.jetpack}" if self.identity.jetpack else self.os_name,
            f"Python {self.python_version}" if self.python_version else "",
            f"onnxruntime {self.onnxruntime}" if self.onnxruntime else "",
            f"{format_bytes(self.memory_available or 0)} of memory free" if self.memory_available else "",
            f"{format_bytes(self.free_bytes or 0)} of disk free" if self.free_bytes is not None else "",
            f"power mode {self.power_mode}" if self.power_mode else "",
            f"{self.clock_mhz:.0f} MHz" if self.clock_mhz else "",
            f"{self.temperature_c:.0f} °C" if self.temperature_c is not None else "",
        ]
        return ", ".join(filter(None, parts))


async def identify(connection: Any, name: str, folder: str | None = None, python: str | None = None) -> Board:
    """Ask the board; raises RemoteError if no shell answers.

    `folder` (absolute, or from the home there) and `python` replace where things go and which Python is used there.
    """
    text = (
        _SCRIPT.replace("__FILES__", " ".join(_FILES))
        .replace("__SHARE__", str(_SHARE))
        .replace("__PYTHONS__", shlex.quote(python) if python else _PYTHONS)
        .replace("__FOLDER__", shlex.quote((folder or "").rstrip("/") or (folder or "")[:1]))
    )
    before = time.time()
    values, files, seen = _parse(await script(connection, text, name, _LIMIT_SECONDS))
    found, available = _detect(files, values.get("machine", ""))
    release = re.search(rb'^PRETTY_NAME="?([^"\n]*)', files.get("etc/os-release", b""), re.MULTILINE)
    free = values.get("free_kb", "")
    version, venv, ort, *libc = [*values.get("about", "").split(), "", "", ""][:5]
    return Board(
        machine=values.get("machine", ""),
        home=values.get("home", ""),
        account=values.get("account", ""),
        root=values.get("root", ""),
        python=values.get("python", ""),
        python_version=version,
        pythons_seen=tuple(seen),
        has_venv=venv == "venv",
        libc=" ".join(libc).strip(),
        onnxruntime=ort.strip("-"),
        free_bytes=int(free) * 1024 if _is_number(free) else None,
        writable=values.get("writable") == "yes",
        memory_available=available,
        profile=found.profile,
        exact=found.exact,
        identity=found.identity,
        os_name=printable(release[1].decode("utf-8", "replace")) if release else "",
        power_mode=power_mode(values.get("power", "")),
        governor=values.get("governor", ""),
        clock_mhz=max(_numbers(values.get("clocks", "")), default=0) / 1000 or None,
        temperature_c=max((heat / 1000 for heat in _numbers(values.get("heat", ""))), default=None),
        clock_skew_s=_skew(values.get("now", ""), before, time.time()),
    )


def _detect(files: dict[str, bytes], machine: str) -> tuple[Detection, int | None]:
    """Which board has these files of its system, and the bytes of memory available there."""
    with tempfile.TemporaryDirectory(prefix="lpc-board-") as root:
        for path, data in files.items():
            file = Path(root) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return detect(Path(root), machine), meminfo(Path(root)).get("MemAvailable")


def _parse(answers: list[str]) -> tuple[dict[str, str], dict[str, bytes], list[str]]:
    values: dict[str, str] = {}
    files: dict[str, bytes] = {}
    seen: list[str] = []
    for line in answers:
        word, _, rest = line.partition(" ")
        name, equals, value = line.partition("=")
        if word == "file" and rest.count(" ") == 1:
            path, _, data = rest.partition(" ")
            with contextlib.suppress(ValueError):
                files.update({path: base64.b64decode(data, validate=True)} if path in _FILES else {})
        elif name == "seen":
            seen.append(printable(value.strip()))
        elif equals and name.isidentifier():
            values[name] = value
    return values, files, seen


def _skew(now: str, before: float, after: float) -> float:
    """Seconds that the board's clock is ahead; 0 within the time that asking took."""
    if not _is_number(now):
        return 0.0
    board = int(now)
    return board - after if board > after else min(0.0, board + 1 - before)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split() if _is_number(word.removeprefix("-"))]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
