"""Checks that native/ stands as it is drawn: rooms include only rooms on lower floors, and no files form a circle.

    check_includes.py [FOLDER]      FOLDER is native/ itself unless another is named

Exit code 1 names each include that runs back up and each circle. A file and its header count as one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# From the ground up; rooms of one floor do not know each other.
FLOORS = (("include",), ("base",), ("simd",), ("codecs",), ("matmul", "store"), ("ep",), ("capi",), ("fuzz", "tests"))
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
COMPOSED = {"bitmap": "ans"}  # bitmap keeps its non-zeros in ans, whose tables it makes from counts without zeros
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def includes(root: Path) -> Iterator[tuple[Path, Path]]:
    """Give each pair of a file and one that it includes, relative to `root`."""
    for file in sorted((*root.rglob("*.cc"), *root.rglob("*.h"))):
        for name in _INCLUDE.findall(file.read_text(encoding="utf-8")):
            target = root / ("include" if name.startswith("lpc/") else "") / name
            if target.exists():
                yield file.relative_to(root), target.relative_to(root)


def runs_back(file: Path, target: Path) -> bool:
    """Tell whether an include leaves its room for another one that is not on a lower floor."""
    here, there = file.parts[0], target.parts[0]
    if here != there:
        return FLOOR_OF[there] >= FLOOR_OF[here]
    codecs = here == "codecs" and len(file.parts) > 2 and len(target.parts) > 2
    return codecs and target.parts[1] not in (file.parts[1], COMPOSED.get(file.parts[1]))


def circles(pairs: list[tuple[Path, Path]]) -> list[list[str]]:
    """Return the circles of units, where x.h and x.cc are the unit x."""
    uses: dict[str, set[str]] = {}
    for file, target in pairs:
        if file.with_suffix("") != target.with_suffix(""):
            uses.setdefault(str(file.with_suffix("")), set()).add(str(target.with_suffix("")))
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(unit: str, path: list[str]) -> None:
        if unit in path:
            found.append([*path[path.index(unit) :], unit])
        elif unit not in done:
            for next_unit in sorted(uses.get(unit, ())):
                visit(next_unit, [*path, unit])
            done.add(unit)

    for unit in sorted(uses):
        visit(unit, [])
    return found


def main() -> int:
    """Print what is wrong; 0 if nothing is."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    pairs = list(includes(root))
    wrong = [f"{file}: includes {target}, which is not below it" for file, target in pairs if runs_back(file, target)]
    wrong += [f"circle: {' -> '.join(circle)}" for circle in circles(pairs)]
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(pairs)} includes of {len({file for file, _ in pairs})} files, {len(wrong)} wrong")
    return 1 if wrong or not pairs else 0


if __name__ == "__main__":
    sys.exit(main())
