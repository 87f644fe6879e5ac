"""Several sessions that load, generate, are cancelled and end at once, on a device that fails and is slow at random.

    PYTHONPATH=tests python -m faults.soak --seconds 600     by hand; prints counts, exit 1 if an outcome is not allowed

Allowed: the right tokens; a part of them where it was cancelled; one clear error of ours. Anything else ends the soak.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from faults.interrupted import compiled_device

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ("Once upon a time", "The cat", "In the morning she")
RESIDENCES = ("streamed", "resident", "decoded", "transcoded", "streamed", "streamed")
HANG_SECONDS = 120
# bytes per second, then failed, shortened and delayed reads in a million
WEATHERS = (
    (0, 0, 0, 0),
    (0, 2000, 0, 0),
    (0, 0, 200_000, 0),
    (0, 0, 0, 20_000),
    (5_000_000, 500, 50_000, 1000),
    (1_000_000, 0, 0, 0),
)


class Soak:
    """Threads that use models, and what came of it."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        import edge_runtime
        from edge_runtime import session
        from edge_runtime.plan import Placement

        self.errors = edge_runtime.LpcError
        self.folder, self.end, self.seed = folder, time.monotonic() + seconds, seed
        self.outcomes: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock, self._local = threading.Lock(), threading.local()
        self._load = edge_runtime.load

        def place(package: Any, **_: Any) -> Placement:
            return Placement(f"0-{len(package.layers)}:{self._local.residence}", 0)

        session.place = place
        self._local.residence = "streamed"
        model = self._load(folder)
        self.expected = {
            prompt: self._ids(model.generate(prompt, greedy=True, max_new_tokens=12)) for prompt in PROMPTS
        }

    @staticmethod
    def _ids(generation: Any) -> tuple[int, ...]:
        for _ in generation:
            pass
        ids: tuple[int, ...] = generation.report.token_ids
        return ids

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.end and not self.wrong

    def live(self, number: int) -> None:
        """Open a model, generate some texts, close it; again and again."""
        choose = random.Random(self.seed * 1000 + number)
        while self.goes_on:
            self._local.residence = choose.choice(RESIDENCES)
            try:
                model = self._load(
                    self.folder, threads=choose.choice((1, 2)), provider=choose.choice(("lpc", "lpc", "lpc", "cpu")),
                    bus_limit=choose.choice((None, None, 20_000_000)),
                    read_mode=choose.choice(("auto", "direct", "buffered")),
                )  # fmt: skip
                self._count("loaded")
                for _ in range(choose.randint(1, 4)):
                    self._generate(model, choose)
            except self.errors as error:
                self._refused(error)
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _generate(self, model: Any, choose: random.Random) -> None:
        prompt = choose.choice(PROMPTS)
        generation = model.generate(prompt, greedy=True, max_new_tokens=12)
        cancel = threading.Timer(choose.uniform(0, 0.2), generation.cancel) if choose.random() < 0.4 else None
        if cancel is not None:
            cancel.start()
        try:
            found, expected = self._ids(generation), self.expected[prompt]
            if found == expected:
                self._count("right")
            elif generation.report.finish_reason == "interrupted" and found == expected[: len(found)]:
                self._count("cancelled")
            else:
                self.wrong.append(f"{prompt}: got {found}, expected {expected}")
        except self.errors as error:
            self._refused(error)
        finally:
            if cancel is not None:
                cancel.cancel()

    def _refused(self, error: Exception) -> None:
        self._count("refused")
        text = str(error)
        reason = "Input/output error" if "Input/output error" in text else text
        with self._lock:
            self.messages["".join("9" if c.isdigit() else c for c in reason)[-160:]] += 1
        if "\n" in text:
            self.wrong.append(f"an error of several lines: {text!r}")

    def _count(self, what: str) -> None:
        with self._lock:
            self.outcomes[what] += 1


def change_the_weather(soak: Soak, device: ctypes.CDLL) -> None:
    """Another kind of device every second or so; a soak that does nothing for long is ended."""
    choose, last, since = random.Random(soak.seed), 0, time.monotonic()
    while soak.goes_on:
        device.device_set(os.fsencode(soak.folder), *map(ctypes.c_long, choose.choice(WEATHERS)))
        time.sleep(choose.uniform(0.3, 2.0))
        total = soak.outcomes.total()
        if total != last:
            last, since = total, time.monotonic()
        if time.monotonic() - since > HANG_SECONDS:
            faulthandler.dump_traceback(all_threads=True)
            os._exit(3)
    device.device_set(os.fsencode(soak.folder), *[ctypes.c_long(0)] * 4)


def resident_mb() -> int:
    return (
        int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000
    )


def work(options: argparse.Namespace) -> int:
    """The process with the device preloaded."""
    faulthandler.enable()
    soak = Soak(options.model.resolve(), options.seconds, options.seed)
    device = ctypes.CDLL(None)
    before = resident_mb()
    threads = [threading.Thread(target=soak.live, args=(number,)) for number in range(options.threads)]
    for thread in threads:
        thread.start()
    change_the_weather(soak, device)
    for thread in threads:
        thread.join(HANG_SECONDS)
    hang = any(thread.is_alive() for thread in threads)
    counts = [ctypes.c_long() for _ in range(4)]
    device.device_counts(*map(ctypes.byref, counts))
    print(f"seed {options.seed}, {options.threads} threads, {options.seconds:.0f} s:", dict(soak.outcomes))
    for name, count in zip(("reads", "failed", "shortened", "delayed"), counts, strict=True):
        print(f"{name} {count.value}")
    print(f"resident memory: {before} MB, {resident_mb()} MB at the end")
    for message, count in soak.messages.most_common(12):
        print(f"{count:6} {message}")
    for wrong in [*soak.wrong, *(["a thread hangs"] if hang else [])]:
        print("WRONG:", wrong)
    sys.stdout.flush()
    os._exit(1 if soak.wrong or hang else 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "out" / "demo")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if "device.so" in os.environ.get("LD_PRELOAD", ""):
        return work(options)
    with tempfile.TemporaryDirectory() as place:
        device = compiled_device(Path(place))
        if device is None:
            print("a C compiler is needed")
            return 2
        command = [sys.executable, "-m", "faults.soak", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, "LD_PRELOAD": str(device)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
