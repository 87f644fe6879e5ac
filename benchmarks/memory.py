"""Peak memory and speed of exporting and running a model, in fresh processes, and what opening a session reads.

    python benchmarks/make_checkpoint.py tinyllama-1.1b build/tinyllama
    python benchmarks/memory.py build/tinyllama build/tinyllama-lpc --tokens 16

Prints one JSON object. The export is skipped when OUT exists.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_SESSION = """
import json, sys
import edge_runtime
edge_runtime.register()
def counters():
    return dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
before = counters()
model = edge_runtime.load(sys.argv[1])
after = counters()
print(json.dumps({key: int(after[key]) - int(before[key]) for key in ("rchar", "read_bytes")}))
"""


def run(command: list[str]) -> Any:
    """Run a command whose stdout is one JSON object."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def tool(name: str) -> str:
    """Path of a command installed beside this Python."""
    return str(Path(sys.executable).parent / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--codec", default="auto")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if not options.out.exists():
        results["export"] = run(
            [tool("lpc-export"), str(options.checkpoint), "--out", str(options.out), "--codec", options.codec, "--json"]
        )
        del results["export"]["choices"]  # a line a tensor
    results["session_creation"] = run([sys.executable, "-c", _SESSION, str(options.out)])
    results["run"] = run(
        [tool("lpc-run"), str(options.out), "-p", "Once upon a time", "-n", str(options.tokens), "--greedy", "--json"]
    )
    manifest = json.loads((options.out / "lpc.json").read_text())
    results["source_bytes"] = manifest["totals"]["source_bytes"]
    results["blob_bytes"] = manifest["totals"]["blob_bytes"]
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
