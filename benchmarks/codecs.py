"""Everything that docs/benchmarks/codecs.md shows: measure, and write its tables and its plot.

    python benchmarks/codecs.py measure build/codecs.json --samples-folder MODELS   # minutes; nothing else may run
    python benchmarks/codecs.py report build/codecs.json                            # tables and plot from the file

`measure` runs `lpc-bench codec` and `lpc-bench kernel` and keeps their rows by the name of the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_runtime.chart import Axis, Dot, Key, Rule, plane
from edge_runtime.io.sheet import Column, Table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "codecs.md"
PLOT = ROOT / "docs" / "images" / "codecs.svg"
GAUSS = "gauss:4096x4096"
LAYOUTS = "packed:e2+3,packed:e3+3,packed:hi4p"
_MAIN = "from edge_runtime.cli.bench import main; main()"
REPEATED = ("zipnn-1", "zipnn-2", "zipnn-3")  # runs that only differ in when they were
NAMES = {name: name.replace(":", " ") for name in LAYOUTS.split(",")} | {"zstandard-3": "zstd"}
OURS, PEERS = "s2", "s1"
DISTRIBUTIONS = [f"{name}:4096x4096" for name in ("gauss", "laplace", "t5")]

Row = dict[str, Any]


def commands(samples: list[str]) -> dict[str, tuple[str, dict[str, str]]]:
    """The command line after `lpc-bench` and the environment of each table."""
    codecs = f"stored,lz4,ans,{LAYOUTS}"
    partial = ",".join(f"{name}{part}" for name in ("lz4", "ans") for part in ("@0", "@0.25", "@0.5", "@0.75", ""))
    named = {
        "peers": f"codec {GAUSS} --codec {codecs} --peers --samples 7",
        "avx2": f"codec {' '.join([GAUSS, *samples])} --codec {codecs} --samples 7",
        "two-threads": f"codec {GAUSS} --codec {codecs} --threads 2 --samples 15",
        "tile": "kernel --threads 2 --samples 20",
        "bitmap-50": f"codec {GAUSS} --sparsity 0.5 --codec bitmap,bitmap:stored --samples 9",
        "bitmap-70": f"codec {GAUSS} --sparsity 0.7 --codec bitmap,bitmap:stored --samples 9",
        "partial": f"codec {GAUSS} --codec {partial} --samples 15",
        "int8": f"codec {' '.join(DISTRIBUTIONS)} --dtype int8 --codec lz4,ans --samples 3",
        "int8-row": f"codec {' '.join(DISTRIBUTIONS)} --dtype int8-row --codec lz4,ans --samples 3",
    }
    if samples:
        named["samples"] = f"codec {' '.join(samples)} --codec {codecs} --peers --samples 9"
        named |= {name: f"codec {' '.join(samples)} --codec ans --peers --samples 25" for name in REPEATED}
    return {name: (line, {"LPC_FORCE_IMPL": "avx2"} if name == "avx2" else {}) for name, line in named.items()}


def run(line: str, environment: dict[str, str]) -> list[Row]:
    """Rows of one command; SystemExit if it fails."""
    command = [sys.executable, "-W", "ignore", "-c", _MAIN, *line.split(), "--json"]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"lpc-bench {line}: exit status {done.returncode}")
    rows: list[Row] = json.loads(done.stdout)
    return rows


def measure(out: Path, folder: Path | None, only: list[str]) -> None:
    """Run the commands and keep their rows in `out`; those of earlier runs that were not run again stay."""
    samples = sorted(str(path) for path in folder.iterdir() if path.suffix in (".bf16", ".fp16")) if folder else []
    kept: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    for name, (line, environment) in commands(samples).items():
        if only and name not in only:
            continue
        print(f"{name}: lpc-bench {line}", file=sys.stderr)
        shown = " ".join(Path(word).name if word in samples else word for word in line.split())
        prefix = "".join(f"{key}={value} " for key, value in environment.items())
        kept[name] = {"command": f"{prefix}lpc-bench {shown}", "cpu": cpu_name(), "rows": run(line, environment)}
        out.write_text(json.dumps(kept, indent=1) + "\n")


def cpu_name() -> str:
    """Name of the processor and the number of its threads that this process may use."""
    names = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return f"{(names or [platform.machine()])[0].strip()}, {len(os.sched_getaffinity(0))} processors"


def markdown(head: list[str], lines: list[list[str]]) -> list[str]:
    """A table."""
    return Table([Column(name) for name in head], lines).markdown().split("\n")


def rates(rows: list[Row]) -> list[str]:
    """Size and speeds of each row."""
    head = ["source", "codec", "bits per weight", "to the bound", "encode GB/s", "decode GB/s", "decode / memcpy"]
    lines = []
    for row in rows:
        to_bound = f"{row['ratio_to_bound'] - 1:+.2%}" if row["ratio_to_bound"] else "-"
        decode, memcpy = row["decode_gb_per_s"], row["memcpy_gb_per_s"]
        shown = [row["source"], row["codec"], f"{row['bits_per_weight']:.3f}", to_bound]
        lines.append([*shown, f"{row['encode_gb_per_s']:.2f}", f"{decode:.2f}", f"{decode / memcpy:.2f}"])
    return markdown(head, lines)


def against_zipnn(runs: list[list[Row]]) -> list[str]:
    """Decoding of `ans` to memory that is there and to new memory, which is all that zipnn does, run by run."""
    head = ["source", "zipnn GB/s", "ans GB/s", "times", "ans, new memory GB/s", "times"]
    lines = []
    for rows in runs:
        for source in dict.fromkeys(row["source"] for row in rows):
            rate = {row["codec"]: row["decode_gb_per_s"] for row in rows if row["source"] == source}
            ours, new, zipnn = rate["ans"], rate["ans, new memory"], rate["zipnn"]
            shown = [f"{ours:.2f}", f"{ours / zipnn:.2f}", f"{new:.2f}", f"{new / zipnn:.2f}"]
            lines.append([source, f"{zipnn:.2f}", *shown])
    return markdown(head, sorted(lines, key=lambda line: line[0]))


def tiles(rows: list[Row]) -> list[str]:
    """Decoding of the packed layouts to memory."""
    head = [
        "layout",
        "implementation",
        "bits per weight",
        "cached tile, GB/s per core",
        "DRAM to DRAM, two threads / memcpy",
    ]
    shown = ("layout", "impl", "bits_per_weight", "decode_tile_gb_per_s", "decode_over_memcpy")
    return markdown(head, [[str(row[key]) for key in shown] for row in rows])


def bitmaps(rows: list[Row]) -> list[str]:
    """Sizes of pruned weights against one bit and the non-zeros at their bound."""
    head = ["source", "codec", "bits per weight", "1 + (1 - s) x bound", "above it", "decode GB/s"]
    lines = []
    for row in rows:
        bits, bound = row["bits_per_weight"], row["bitmap_bound_bits_per_weight"]
        above = f"{bits / bound - 1:+.2%}" if row["codec"] == "bitmap" else "-"
        lines.append(
            [row["source"], row["codec"], f"{bits:.3f}", f"{bound:.3f}", above, f"{row['decode_gb_per_s']:.2f}"]
        )
    return markdown(head, lines)


def partial(rows: list[Row]) -> list[str]:
    """Rates by fraction against prediction."""
    head = ["codec", "fraction", "bits per weight", "decode GB/s", "predicted", "measured / predicted"]
    lines = []
    for row in rows:
        base, _, fraction = row["codec"].partition("@")
        decode, predicted = row["decode_gb_per_s"], row["predicted_decode_gb_per_s"]
        shown = [base, fraction or "1", f"{row['bits_per_weight']:.3f}", f"{decode:.2f}", f"{predicted:.2f}"]
        lines.append([*shown, f"{decode / predicted:.2f}"])
    return markdown(head, lines)


def buses(rows: list[Row]) -> list[str]:
    """The fraction that each codec would be given for a bus."""
    chosen = {row["codec"]: row["fraction_for_bus"] for row in rows if "fraction_for_bus" in row}
    head = ["codec, one thread", *(f"{bus} GB/s" for bus in next(iter(chosen.values())))]
    return markdown(head, [[name, *(f"{value:.3f}" for value in each.values())] for name, each in chosen.items()])


def savings(rows: list[Row]) -> list[str]:
    """Bytes saved of INT8 weights."""
    head = ["weights", "one scale", "codec", "saved", "bound"]
    lines = []
    for row in rows:
        weights, _, dtype = row["source"].partition(":4096x4096 ")
        granularity = "a row" if dtype == "int8-row" else "a tensor"
        bound = 1 - row["bound_bits_per_weight"] / 8
        lines.append([weights, granularity, row["codec"], f"{1 - row['ratio']:.1%}", f"{bound:.1%}"])
    return markdown(head, lines)


def picture(rows: list[Row]) -> str:
    """An SVG file: bits per weight against decoding speed, of the rows of one source."""
    dots = [
        Dot(row["bits_per_weight"], row["decode_gb_per_s"],
            OURS if row["impl"] or row["codec"].startswith("ans") else PEERS, NAMES.get(row["codec"], row["codec"]))
        for row in rows
    ]  # fmt: skip
    bound, memcpy = rows[0]["bound_bits_per_weight"], rows[0]["memcpy_gb_per_s"]
    figure = plane(
        Axis("bits per weight (BF16 is 16)", from_zero=False), Axis("decoded GB/s, one core, DRAM to DRAM", log=True),
        dots=dots, rules=[Rule("x", bound, f"order-0 bound {bound:.2f}"), Rule("y", memcpy, "memcpy")],
        keys=[Key(OURS, "this project"), Key(PEERS, "others")], height=420,
    )  # fmt: skip
    title = "Lossless codecs on random normal(0, 0.02) weights, BF16"
    return figure.standalone(title, "better: up and to the left")


def report(sources: list[Path]) -> None:
    """Write the tables between their marks in the page, and the plot; of a later file the same table wins."""
    kept: dict[str, Any] = {}
    for source in sources:
        kept |= json.loads(source.read_text())
    rows = {name: part["rows"] for name, part in kept.items()}
    tables = {name: rates(rows[name]) for name in ("peers", "samples", "avx2", "two-threads")}
    tables |= {
        "zipnn": against_zipnn([rows[name] for name in ("peers", "samples", *REPEATED)]),
        "tile": tiles(rows["tile"]),
        "bitmap": bitmaps(rows["bitmap-50"] + rows["bitmap-70"]),
        "partial": partial(rows["partial"]),
        "buses": buses(rows["partial"]),
        "int8": savings(rows["int8"] + rows["int8-row"]),
        "commands": ["```", *(part["command"] for part in kept.values()), "```"],
        "machine": [f"Processor: {kept['peers']['cpu']}; implementation {rows['peers'][0]['impl']}."],
    }
    page = PAGE.read_text(encoding="utf-8")
    for name, lines in tables.items():
        before, _, rest = page.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition("<!-- end -->")
        page = before + f"<!-- {name} -->\n" + "\n".join(lines) + "\n<!-- end -->" + after
    PAGE.write_text(page, encoding="utf-8")
    PLOT.write_text(picture(rows["peers"]), encoding="utf-8")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    commands_ = parser.add_subparsers(dest="command", required=True)
    measuring = commands_.add_parser("measure")
    measuring.add_argument("out", type=Path)
    measuring.add_argument("--samples-folder", type=Path, help="of raw .bf16 and .fp16 files")
    measuring.add_argument("--only", nargs="+", default=[], help="names of tables")
    reporting = commands_.add_parser("report")
    reporting.add_argument("sources", type=Path, nargs="+")
    args = parser.parse_args()
    if args.command == "measure":
        measure(args.out, args.samples_folder, args.only)
    else:
        report(args.sources)
    return 0


if __name__ == "__main__":
    sys.exit(main())
