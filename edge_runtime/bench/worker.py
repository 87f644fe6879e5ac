"""One configuration of a model in a process of its own: `python -m edge_runtime.bench.worker`.

Requests come as JSON lines on stdin, each is answered by one JSON line. A process of its own gives every configuration
its own peak memory, lets several take turns, and its death ends one test instead of the whole benchmark.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TextIO

from edge_runtime.bench.disturbance import Disturbance
from edge_runtime.bench.messages import Checked, Failed, Opened, Request, Timed
from edge_runtime.bench.records import PlanRecord
from edge_runtime.errors import ConfigError, LpcError
from edge_runtime.io.typed_json import Record, read, write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.session import Model

CHECK_PROMPT_TOKENS = 8
CHECK_TOKENS = 16

_SEED = 20240607
_RESET_PEAK = "5"


class Runner:
    """The model, and what can be asked of it."""

    def __init__(self, request: Request) -> None:
        from edge_runtime.session import load

        known = inspect.signature(load).parameters
        unknown = [name for name in request.load if name not in known]
        if unknown:
            raise ConfigError(
                f"--load {unknown[0]}: unknown; expected one of {', '.join(sorted(set(known) - {'path'}))}"
            )
        opening: Callable[..., Model] = load  # it checks what users have typed
        started = time.perf_counter()
        self._model = opening(request.path, provider=request.provider, threads=request.threads, **request.load)
        self._load_seconds = time.perf_counter() - started

    def opened(self) -> Opened:
        """Say what was opened."""
        plan = self._model.placement.plan if self._model.placement is not None else None
        record = None if plan is None else read(PlanRecord, plan.as_dict(), "plan")
        return Opened(load_seconds=self._load_seconds, plan=record)

    def check(self) -> Checked:
        """Generate a few tokens greedily from fixed ids: what other configurations must give as well."""
        import numpy as np

        prompt = self._tokens(min(CHECK_PROMPT_TOKENS, self._model.context_length // 2))
        count = min(CHECK_TOKENS, self._model.context_length - len(prompt))
        decoder = self._model.decoder(len(prompt) + count)
        logits = decoder.prefill(prompt)
        ids: list[int] = []
        finite = True
        for _ in range(count):
            finite = finite and bool(np.isfinite(logits).all())
            ids.append(int(logits.argmax()))
            logits = decoder.step(ids[-1])
        if not finite:
            raise LpcError("the logits are not finite: this model or configuration computes garbage, nothing was timed")
        return Checked(prompt_ids=tuple(prompt), token_ids=tuple(ids))

    def time(self, request: Request) -> Timed:
        """Time a test."""
        timed = self._prompt if request.kind == "pp" else self._generate
        return timed(request.tokens, request.depth)

    def _prompt(self, tokens: int, depth: int) -> Timed:
        """Time one pass over `tokens` prompt tokens behind `depth` others."""
        ids = self._tokens(depth + tokens)
        decoder = self._model.decoder(depth + tokens)
        if depth:
            decoder.prefill(ids[:depth])
        return self._timed(lambda: [_seconds(lambda: decoder.prefill(ids[depth:]))])

    def _generate(self, tokens: int, depth: int) -> Timed:
        """Time `tokens` passes of one token each, behind `depth` others."""
        ids = self._tokens(depth + tokens)
        decoder = self._model.decoder(depth + tokens)
        if depth:
            decoder.prefill(ids[:depth])

        def passes() -> list[float]:
            first = 0 if depth else 1
            seconds = [] if depth else [_seconds(lambda: decoder.prefill(ids[:1]))]
            return seconds + [_seconds(partial(decoder.step, token)) for token in ids[depth + first :]]

        return self._timed(passes)

    def _timed(self, measured: Callable[[], list[float]]) -> Timed:
        _reset_peak()
        before, surroundings = self._model.stats(), Disturbance.now()
        started = time.monotonic()
        seconds = measured()
        ended = time.monotonic()
        times = Disturbance.now().seconds(surroundings)
        after = self._model.stats()
        return Timed(
            started=started,
            ended=ended,
            pass_seconds=tuple(seconds),
            counters=after.since(before) if after is not None and before is not None else {},
            peak_rss_bytes=_peak_rss(),
            times=times,
        )

    def _tokens(self, count: int) -> list[int]:
        """The same ids whoever asks; spread over the vocabulary, so that embedding rows are not all in one place."""
        import numpy as np

        ids: NDArray[np.int64] = np.random.default_rng(_SEED).integers(0, self._model.package.vocab_size, count)
        return [int(token) for token in ids]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _peak_rss() -> int | None:
    from edge_runtime.machine.memory import peak_rss_bytes

    return peak_rss_bytes()


def _reset_peak() -> None:
    """Let VmHWM start anew; where the kernel refuses, the peak is that of the whole process."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write(_RESET_PEAK)
    except OSError:
        return


def _answer(replies: TextIO, answer: Record) -> None:
    replies.write(json.dumps(write(answer)) + "\n")
    replies.flush()


def _serve(requests: TextIO, replies: TextIO) -> None:
    runner: Runner | None = None
    for line in requests:
        try:
            request = read(Request, json.loads(line), "request")
            if request.do == "open":
                runner = Runner(request)
                _answer(replies, runner.opened())
            elif runner is not None:
                _answer(replies, runner.check() if request.do == "check" else runner.time(request))
        except LpcError as error:
            _answer(replies, Failed(error=str(error)))


def main() -> None:
    """Serve until stdin ends. Ctrl-C is the parent's business. Nothing else may write to the answers' pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
