"""The C API as libabigail sees it: compare lpc.h with the reference of the last release, or make it the reference.

    python native/abi/abi.py check      exits 1 and shows what changed if programs built against the reference may break
    python native/abi/abi.py accept     writes the reference, native/abi/liblpc.abi

lpc.h is the truth: the library's sources are compiled against it, and a test compares its exports with it. So each
function of the header gets an empty body, and each type and each field a function that takes it, in one C file that
compiles in no time. What is new is no break: functions, types, enumerators, and fields at the end of a struct that
tells its size.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "native" / "include" / "lpc" / "lpc.h"
REFERENCE = Path(__file__).with_name("liblpc.abi")

_FUNCTION = re.compile(r"^LPC_EXPORT ([^;{]+);", re.MULTILINE)
_TYPE = re.compile(r"^(?:\} |typedef struct \w+ )(\w+);", re.MULTILINE)
_STRUCT = re.compile(r"^typedef struct (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  \w+ (\w+)(?:\[\w+\])?;", re.MULTILINE)


def stubs(header: Path) -> str:
    """Return a C source that defines every function of the header, and a function for every type and field."""
    text = header.read_text(encoding="utf-8")
    functions = [f"{declaration} {{ __builtin_trap(); }}" for declaration in _FUNCTION.findall(text)]
    types = [f"void type_{name}({name}* value) {{ (void)value; }}" for name in _TYPE.findall(text)]
    fields = [
        # The type of `place` is as large as the field's offset: so a field that moved has another type.
        f"void field_{struct}_{field}(__typeof__((({struct}*)0)->{field})* value, "
        f"char (*place)[__builtin_offsetof({struct}, {field}) + 1]) {{ (void)value, (void)place; }}"
        for struct, body in _STRUCT.findall(text)
        for field in _FIELD.findall(body)
    ]
    return "\n".join([f'#include "{header}"', *functions, *types, *fields, ""])


def growing(header: Path) -> str:
    """Return libabigail's suppressions for the structs that tell their size: fields may be added at their end.

    They also hide a field whose type changed beside one that was added: for that each field has a function.
    """
    structs = _STRUCT.findall(header.read_text(encoding="utf-8"))
    names = [name for name, body in structs if _FIELD.findall(body)[:1] == ["struct_bytes"]]
    rule = "[suppress_type]\n  name = {}\n  type_kind = struct\n  has_data_member_inserted_at = end\n"
    return "\n".join(rule.format(name) for name in names)


def describe(header: Path, out: Path) -> None:
    """Write libabigail's description of the header's functions and types to `out`; CalledProcessError."""
    with tempfile.TemporaryDirectory() as work:
        source, library = Path(work, "stubs.c"), Path(work, "stubs.so")
        source.write_text(stubs(header), encoding="utf-8")
        compiler = ["cc", "-g", "-O0", "-w", "-fPIC", "-shared", "-o", str(library), str(source)]
        subprocess.run(compiler, check=True)
        quiet = ["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-architecture"]
        subprocess.run(["abidw", *quiet, "--out-file", str(out), str(library)], check=True)


def changes(reference: Path, present: Path, header: Path) -> str:
    """Return in words what of the reference is gone or different in the present description; "" if nothing is."""
    with tempfile.NamedTemporaryFile("w", suffix=".suppr", encoding="utf-8") as rules:
        rules.write(growing(header))
        rules.flush()
        command = ["abidiff", "--no-added-syms", "--suppressions", rules.name, str(reference), str(present)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode & 3:  # the bits of an error and of wrong usage
        raise subprocess.SubprocessError(done.stderr or done.stdout)
    return done.stdout if done.returncode else ""


def main() -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=["check", "accept"])
    parser.add_argument("--header", type=Path, default=HEADER)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    options = parser.parse_args()
    missing = [tool for tool in ("cc", "abidw", "abidiff") if shutil.which(tool) is None]
    if missing:
        print(f"missing: {', '.join(missing)}; native/system_packages.sh abi installs it", file=sys.stderr)
        return 1
    if options.action == "accept":
        describe(options.header, options.reference)
        return 0
    with tempfile.TemporaryDirectory() as work:
        present = Path(work, "present.abi")
        describe(options.header, present)
        found = changes(options.reference, present, options.header)
    if found:
        print(f"{found}The C API breaks programs that were built against {options.reference}.", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
