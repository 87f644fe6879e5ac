"""Sessions of onnxruntime that load, generate and are cancelled at once, for ThreadSanitizer; `make tsan` runs it.

    LPC_LIBRARY=build/tsan/liblpc.so LD_PRELOAD=libtsan.so python tests/faults/sessions.py FOLDER

Prints how many generations there were; exit 1 if a token was wrong.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import edge_runtime
from edge_runtime import session
from edge_runtime.plan import Placement

THREADS, ROUNDS, TOKENS = 4, 3, 6
RESIDENCES = ("streamed", "resident", "decoded", "transcoded")
CANCEL_SECONDS = 0.01


class Sessions:
    """Threads with models of their own on one folder, and what they generated."""

    def __init__(self, folder: str) -> None:
        self._folder, self._local = folder, threading.local()
        self.generations, self.wrong = 0, 0
        self._lock = threading.Lock()

        def place(package: Any, **_: Any) -> Placement:
            return Placement(f"0-{len(package.layers)}:{self._local.residence}", 0)

        session.place = place
        self._local.residence = RESIDENCES[0]
        self._expected = self._ids(edge_runtime.load(folder), cancelled=False)

    @staticmethod
    def _ids(model: edge_runtime.session.Model, cancelled: bool) -> tuple[int, ...]:
        generation = model.generate("Once upon a time", greedy=True, max_new_tokens=TOKENS)
        timer = threading.Timer(CANCEL_SECONDS, generation.cancel)
        if cancelled:
            timer.start()
        for _ in generation:
            pass
        timer.cancel()
        return generation.report.token_ids

    def live(self, number: int) -> None:
        """Load, generate a text, have another one cancelled; some times."""
        for turn in range(ROUNDS):
            self._local.residence = RESIDENCES[(number + turn) % len(RESIDENCES)]
            model = edge_runtime.load(self._folder, threads=1 + number % 2)
            for cancelled in (False, True):
                found = self._ids(model, cancelled)
                right = found == self._expected[: len(found)] and (cancelled or found == self._expected)
                with self._lock:
                    self.generations += 1
                    self.wrong += not right


def main() -> int:
    sessions = Sessions(sys.argv[1])
    threads = [threading.Thread(target=sessions.live, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{sessions.generations} generations, {sessions.wrong} wrong")
    return 1 if sessions.wrong or sessions.generations != THREADS * ROUNDS * 2 else 0


if __name__ == "__main__":
    sys.exit(main())
