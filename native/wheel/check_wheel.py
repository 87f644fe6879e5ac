"""Check a wheel of ours: one library in it, for the wheel's architecture, no newer symbols than JetPack 6 has, neither
lz4 nor ONNX Runtime wanted from outside. A library by itself (FILE.so) is checked for what it wants.

    python native/wheel/check_wheel.py dist/lpc_edge_runtime-0.1.0-py3-none-manylinux_2_35_aarch64.whl
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

# Ubuntu 22.04, on which JetPack 6 is: glibc 2.35, and the libstdc++ and libgcc of GCC 12.
NEWEST = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12, 0)}
ALLOWED = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libstdc++.so.6", "libgcc_s.so.1"}
ALLOWED |= {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}


def needed(elf: ELFFile) -> set[str]:
    """Names of the shared libraries that the loader will look for."""
    return {tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}


def versions(elf: ELFFile) -> set[str]:
    """Versions of symbols wanted from other libraries, such as GLIBC_2.17."""
    section = elf.get_section_by_name(".gnu.version_r")
    return {auxiliary.name for _, entries in section.iter_versions() for auxiliary in entries}


def problems(wheel: Path) -> list[str]:
    """Everything wrong with a wheel, in words; empty if it may be published."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        libraries = [name for name in names if ".so" in Path(name).name]
        if [Path(name).name for name in libraries] != ["liblpc.so"]:
            return [f"holds the libraries {libraries}; expected liblpc.so alone"]
        elf = ELFFile(io.BytesIO(archive.read(libraries[0])))
    found = [f"has a file of ONNX Runtime: {name}" for name in names if "onnxruntime" in name.lower()]
    machine = next((name for name in MACHINES if wheel.stem.endswith(name)), "")
    if elf["e_machine"] != MACHINES.get(machine):
        found.append(f"is named for {machine or 'an unknown machine'}, but liblpc.so is for {elf['e_machine']}")
    return found + unmet(elf)


def unmet(elf: ELFFile) -> list[str]:
    """What a library wants that Ubuntu 22.04 does not have, in words."""
    found = [f"wants {name} from outside" for name in sorted(needed(elf) - ALLOWED)]
    for version in sorted(versions(elf)):
        family, _, number = version.partition("_")
        if not number.replace(".", "").isdigit():
            found.append(f"wants {version}, which is that library's own")
        elif tuple(int(part) for part in number.split(".")) > NEWEST.get(family, ()):
            found.append(f"wants {version}, which is newer than Ubuntu 22.04's")
    return found


def main() -> int:
    """Check the wheels and libraries named on the command line."""
    failed = False
    for path in map(Path, sys.argv[1:]):
        library = path.suffix == ".so"
        for problem in unmet(ELFFile(io.BytesIO(path.read_bytes()))) if library else problems(path):
            print(f"{path.name}: {problem}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
