"""The token loop: prompt in, pieces of text out, a report at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, Protocol, TypeAlias

from edge_runtime.errors import ConfigError
from edge_runtime.sampling import FloatRow, Sampler
from edge_runtime.tokens import TextStream

FinishReason: TypeAlias = Literal["stop", "length", "interrupted"]


class Cancelled(Exception):  # noqa: N818 (a request that was granted, not an error)
    """A forward pass was stopped because its sequence was cancelled."""


class Decoder(Protocol):
    """What the loop needs from a model: a text that grows, token by token."""

    def prefill(self, ids: Sequence[int]) -> FloatRow:
        """Append the prompt; return the logits after it, shape [vocab], valid until the next call."""

    def step(self, token_id: int) -> FloatRow:
        """Append one token; return the logits after it, shape [vocab], valid until the next call."""

    def cancel(self) -> None:
        """Make the pass that is running, and all later ones, raise Cancelled. May be called from any thread."""


@dataclass(frozen=True)
class Piece:
    """A piece of generated text, whole characters only, and the token that completed it.

    `text` is "" while a character is incomplete. `token_id` is None for what was still incomplete at the end.
    """

    text: str
    token_id: int | None


@dataclass(frozen=True)
class GenerationReport:
    """What a generation did so far.

    `token_ids` are the generated tokens without the one that ended the text; `text` is theirs alone. Seconds are those
    spent here, not in the caller's loop: `prompt_seconds` up to the first token chosen, `generation_seconds` after it.
    `finish_reason` is "stop" (the model ended the text), "length" (max_new_tokens, or the context is full),
    "interrupted" (cancelled), or None while more may come. `seed` repeats the choice; None if greedy.
    """

    prompt_tokens: int
    token_ids: tuple[int, ...]
    text: str
    prompt_seconds: float
    generation_seconds: float
    steps: int
    finish_reason: FinishReason | None
    seed: int | None

    @property
    def prompt_tokens_per_s(self) -> float | None:
        """Prompt tokens per second up to the first token; None before it."""
        return self.prompt_tokens / self.prompt_seconds if self.prompt_seconds > 0 else None

    @property
    def generation_tokens_per_s(self) -> float | None:
        """Tokens per second after the first one; None where there was only one."""
        return self.steps / self.generation_seconds if self.steps > 0 and self.generation_seconds > 0 else None


class Generation(Iterator[Piece]):
    """An iterator over the pieces of one generated text; `report` may be read at any time.

    It is used by one thread at a time, except `cancel`. Iterating raises LpcError if the model cannot be run.
    """

    def __init__(
        self,
        decoder: Decoder,
        stream: TextStream,
        sampler: Sampler,
        prompt_ids: Sequence[int],
        max_new_tokens: int,
        eos_ids: frozenset[int],
    ) -> None:
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {max_new_tokens}; expected 1 or more")
        self._decoder = decoder
        self._stream = stream
        self._sampler = sampler
        self._prompt_ids = list(prompt_ids)
        self._max_new_tokens = max_new_tokens
        self._eos_ids = eos_ids
        self._token_ids: list[int] = []
        self._texts: list[str] = []
        self._prompt_seconds = 0.0
        self._generation_seconds = 0.0
        self._steps = 0
        self._finish_reason: FinishReason | None = None
        self._cancelled = False
        self._pieces = self._run()

    def __next__(self) -> Piece:
        return next(self._pieces)

    def cancel(self) -> None:
        """Stop within a fraction of a forward pass; the iterator then ends. May be called from any thread."""
        self._cancelled = True
        self._decoder.cancel()

    @property
    def report(self) -> GenerationReport:
        """What was done so far."""
        return GenerationReport(
            prompt_tokens=len(self._prompt_ids),
            token_ids=tuple(self._token_ids),
            text="".join(self._texts),
            prompt_seconds=self._prompt_seconds,
            generation_seconds=self._generation_seconds,
            steps=self._steps,
            finish_reason=self._finish_reason,
            seed=None if self._sampler.params.greedy else self._sampler.seed,
        )

    def _run(self) -> Iterator[Piece]:
        while self._finish_reason is None:
            token = self._next_token()
            if token is not None:
                self._token_ids.append(token)
                yield self._piece(self._stream.add(token), token)
                if self._finish_reason is None and len(self._token_ids) >= self._max_new_tokens:
                    self._finish_reason = "length"
        rest = self._stream.flush()
        if rest:
            yield self._piece(rest, None)

    def _next_token(self) -> int | None:
        """Choose the next token; None, with the reason set, if there is none."""
        if self._cancelled:
            self._finish_reason = "interrupted"
            return None
        start = perf_counter()
        try:
            if self._token_ids:
                token = self._sampler.choose(self._decoder.step(self._token_ids[-1]))
                self._generation_seconds += perf_counter() - start
                self._steps += 1
            else:
                token = self._sampler.choose(self._decoder.prefill(self._prompt_ids))
                self._prompt_seconds = perf_counter() - start
        except Cancelled:
            self._finish_reason = "interrupted"
            return None
        if token in self._eos_ids:
            self._finish_reason = "stop"
            return None
        return token

    def _piece(self, text: str, token_id: int | None) -> Piece:
        self._texts.append(text)
        return Piece(text, token_id)
