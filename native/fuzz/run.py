"""Run every libFuzzer target for some CPU time each, and say what came of it.

python native/fuzz/run.py BUILD [--seconds 1200] [--targets lz4 ans] [--jobs 1]

The corpus of a target lies in BUILD/corpus/TARGET and is kept, so a later run goes on where this one ended. Exit status
1 if a target found something; the input is then in BUILD/findings.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROUND_SECONDS = 60
GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"


def cpu_seconds(pid: int) -> float:
    """CPU time of a child that has ended but was not waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_round(build: Path, target: str, timeout: int) -> tuple[float, str, int]:
    """CPU seconds, the last lines of output and the exit status of one round."""
    command = [
        str(build / "fuzz" / f"{target}_fuzz"),
        f"-max_total_time={ROUND_SECONDS}",
        "-max_len=65536",
        f"-timeout={timeout}",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={build / 'findings' / target}-",
        str(build / "corpus" / target),
    ]
    log = build / "findings" / f"{target}.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        used = cpu_seconds(process.pid)
    return used, log.read_text(errors="replace"), process.wait()


def fuzz(build: Path, target: str, seconds: float, timeout: int) -> bool:
    (build / "corpus" / target).mkdir(exist_ok=True)  # a codec without golden files begins with nothing
    used, runs, start = 0.0, 0, time.monotonic()
    while used < seconds:
        spent, output, status = run_round(build, target, timeout)
        used += spent
        found = re.search(r"Done (\d+) runs", output)
        runs += int(found[1]) if found else 0
        state = re.findall(r"cov: \d+ ft: \d+ corp: \S+", output)
        print(
            f"{target:9} {used:6.0f} CPU s ({time.monotonic() - start:.0f} s), {runs} runs, "
            f"{state[-1] if state else 'no state'}, {'clean' if status == 0 else f'exit {status}'}",
            flush=True,
        )
        if status != 0:
            print("\n".join(output.splitlines()[-40:]), flush=True)
            return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=Path, help="where the targets were built")
    parser.add_argument("--seconds", type=float, default=1200, help="CPU time of each target (default %(default)s)")
    parser.add_argument("--targets", nargs="+", help="some of those that were built (default: all)")
    parser.add_argument("--timeout", type=int, default=25, help="seconds that no input may take (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (default %(default)s)")
    options = parser.parse_args()
    build = options.build.resolve()
    built = sorted(path.name.removesuffix("_fuzz") for path in (build / "fuzz").glob("*_fuzz"))
    targets = options.targets or built
    if not built or set(targets) - set(built):
        parser.error(
            f"targets: got {' '.join(targets) or 'none'}, built are {' '.join(built) or 'none'} in {build}/fuzz"
        )
    (build / "findings").mkdir(exist_ok=True)
    subprocess.run([build / "fuzz" / "fuzz_seeds", GOLDEN, build / "corpus"], check=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        clean = list(pool.map(lambda target: fuzz(build, target, options.seconds, options.timeout), targets))
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
