"""Instructions a weight of the NEON products, counted under user-mode emulation.

    python benchmarks/neon_instructions.py
    python benchmarks/neon_instructions.py --columns 2048 --json

Compiles the kernels for aarch64 (aarch64-linux-gnu-g++, liblz4-dev:arm64), runs a product of one row of activations in
qemu-aarch64-static in single steps, and counts the steps: once with one product and once with --times more, so that
what is around them cancels. The result is compared with the bf16 product, bit for bit. Weights are normal(0, 0.02).
Instructions are not time: how many a core executes in a cycle, and what memory does, is not in them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from arm_build import EMULATOR, build_archive, build_program, missing_tool

LAYOUTS = ("bf16", "hi4p", "hi3", "e2+3", "e3+3")
_STEP = b"Trace "  # what the emulator writes for each


def steps(command: list[str]) -> tuple[int, str]:
    """Instructions executed, and what the program printed."""
    emulator = [EMULATOR, "-singlestep", "-d", "nochain,exec", "-D", "/dev/stderr"]
    with subprocess.Popen([*emulator, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        assert running.stdout is not None
        count = sum(line.startswith(_STEP) for line in running.stderr)
        printed = running.stdout.read().decode()
    if running.returncode:
        sys.exit(f"error: {' '.join(command)} ended with status {running.returncode}: another result than bf16?")
    return count, printed


def measure(program: Path, layout: str, rows: int, columns: int, times: int) -> dict[str, object]:
    """Instructions a weight of one layout."""
    counts = []
    for products in (1, 1 + times):
        count, printed = steps([str(program), layout, str(rows), str(columns), str(products)])
        counts.append(count)
    isa, bits = printed.split()
    return {
        "layout": layout,
        "isa": isa,
        "shape": f"{rows}x{columns}",
        "bits_per_weight": 16.0 if layout == "bf16" else float(bits),
        "instructions_per_weight": round((counts[1] - counts[0]) / (times * rows * columns), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--columns", type=int, default=4096)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    missing = missing_tool()
    if missing is not None:
        sys.exit(f"error: {missing} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        program = build_program(Path(__file__).with_suffix(".cc"), build_archive(Path(folder)))
        rows = [measure(program, layout, options.rows, options.columns, options.times) for layout in LAYOUTS]
    of_bf16 = rows[0]["instructions_per_weight"]
    assert isinstance(of_bf16, float)
    for row in rows:
        row["over_bf16"] = round(float(str(row["instructions_per_weight"])) / of_bf16, 3)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for line in [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]:
        print("  ".join(cell.rjust(23) for cell in line))


if __name__ == "__main__":
    main()
