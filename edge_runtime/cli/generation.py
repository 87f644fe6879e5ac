"""How far a running generation has come: of a slow token, and where the time of the tokens went."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from edge_runtime.bench.token_time import TokenTime
from edge_runtime.io.units import format_bytes, format_rate

if TYPE_CHECKING:
    from edge_runtime.provider import SessionStats
    from edge_runtime.session import Model


class Progress:
    """Told of every token by the loop; asked from the watching thread what a slow one is doing."""

    def __init__(self, model: Model, prompt_tokens: int) -> None:
        self._model = model
        self._passes = model.prompt_passes(prompt_tokens)
        self._tokens = 0
        self._before = model.stats()  # at the last token
        self._first: SessionStats | None = None  # at the first
        self._since = perf_counter()
        self._token_seconds: list[float] = []

    def token_done(self) -> None:
        """Another token was chosen."""
        now = perf_counter()
        if self._tokens:
            self._token_seconds.append(now - self._since)
        self._since = now
        self._tokens += 1
        self._passes = 1
        self._before = self._model.stats()
        self._first = self._first or self._before

    @property
    def token_seconds(self) -> list[float]:
        """Seconds of each token after the first."""
        return self._token_seconds

    def token_time(self) -> TokenTime | None:
        """The mean of the tokens after the first; None without any, or where nobody counts."""
        if not self._token_seconds or self._first is None or self._before is None:
            return None
        return TokenTime.between(self._first, self._before, sum(self._token_seconds), len(self._token_seconds))

    def describe(self, seconds: float) -> str:
        """One short line: which token for how long, layer, rate of reading, time left."""
        what = f"token {self._tokens + 1}" if self._tokens else "prompt"
        stats, before = self._model.stats(), self._before
        if stats is None or before is None:
            return f"{what}: {seconds:.0f} s"
        passes = stats.runs - before.runs
        if self._passes > 1:
            what += f", pass {min(passes + 1, self._passes)}/{self._passes}"
        rate = (stats.bytes_read - before.bytes_read) / (perf_counter() - self._since)
        share = (min(passes, self._passes - 1) + self._share_before(stats.layer)) / self._passes
        left = f", {seconds * (1 - share) / share:.0f} s left" if share > 0 else ""
        last = self._model.package.layers[-1].index
        if stats.transcoded_bytes > before.transcoded_bytes:
            what = f"transcoded {format_bytes(stats.transcoded_from_bytes)}, {what}"
        return f"{what}: {seconds:.0f} s, layer {min(stats.layer, last)}/{last}, {format_rate(rate)}{left}"

    def _share_before(self, layer: int) -> float:
        """The share of a pass's bytes that comes before `layer`: of what is streamed, of everything the first time."""
        layers = self._model.package.layers[1:]
        plan = self._model.placement.plan if self._model.placement else None
        if plan is not None and self._tokens:
            streamed = {planned.index for planned in plan.layers if planned.state == "streamed"}
            layers = tuple(each for each in layers if each.index in streamed) or layers
        total = sum(each.bytes for each in layers)
        return sum(each.bytes for each in layers if each.index < layer) / total if total else 0.0
