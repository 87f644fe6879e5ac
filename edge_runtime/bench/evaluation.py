"""How much a model differs from another one, or how well it predicts a text: token by token, with intervals.

Perplexity, the Kullback-Leibler divergence of the next token's distribution from the reference's, and how often both
agree on the most likely token. Neighbouring tokens are not independent, so intervals come from the means of blocks of
tokens (batch means): 95 %, by the normal approximation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ConfigError
from edge_runtime.io.typed_json import Json
from edge_runtime.session import Model

WINDOW = 256
"""Tokens that see one another: each window is evaluated by itself."""

GENERATED_WINDOWS = 8
_BLOCK = 32  # tokens whose mean counts as one observation
_Z = 1.959964  # of the normal distribution, 95 %
_LEAST_TOKENS = 64
_LEAST_WINDOW = 2
_DOCUMENT_END = re.compile(r"\n\s*\n")
_ROWS = 64  # logits widened to float64 at a time

Floats = npt.NDArray[np.float64]
Windows = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; the interval is NaN where there are fewer than two blocks of tokens."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, observed: Floats, function: Callable[[float], float] = lambda mean: mean) -> Estimate:
        """A monotonic `function` of the mean of one value a token."""
        mean = float(observed.mean())
        blocks = [block.mean() for block in np.array_split(observed, max(1, len(observed) // _BLOCK))]
        error = _Z * float(np.std(blocks, ddof=1)) / math.sqrt(len(blocks)) if len(blocks) > 1 else math.nan
        return cls(function(mean), function(mean - error), function(mean + error))


@dataclass(frozen=True)
class Evaluation:
    """What was found on `tokens` predicted tokens of `text` (a file's name, or what wrote it).

    `perplexity_change` is the ratio to the reference's perplexity less 1, from pairs of tokens; `kl` in nats per token;
    `top1_agreement` the fraction of tokens. The last four are None without a reference.
    """

    text: str
    tokens: int
    perplexity: Estimate
    reference_perplexity: Estimate | None = None
    perplexity_change: Estimate | None = None
    kl: Estimate | None = None
    top1_agreement: Estimate | None = None

    def as_dict(self) -> dict[str, Json]:
        """For JSON; figures rounded to six significant digits, an interval that is not known is null."""
        return {key: _plain(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Observed:
    """One value for every predicted token, in the order of the text: `loss` and `reference_loss` in nats, `kl` in nats,
    `agreement` 0 or 1. Empty but for `loss` without a reference. Two models observed on the same windows can be
    compared token by token."""

    loss: Floats
    reference_loss: Floats
    kl: Floats
    agreement: Floats

    def summary(self, text: str) -> Evaluation:
        """Return the figures with their intervals; `text` says what was read."""
        perplexity = Estimate.of(self.loss, math.exp)
        if not self.kl.size:
            return Evaluation(text, len(self.loss), perplexity)
        return Evaluation(
            text, len(self.loss), perplexity, Estimate.of(self.reference_loss, math.exp),
            Estimate.of(self.loss - self.reference_loss, math.expm1), Estimate.of(self.kl), Estimate.of(self.agreement),
        )  # fmt: skip


def evaluate(
    model: Model, windows: Windows, text: str, reference: Model | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Evaluation:  # fmt: skip
    """Evaluate `model` on `windows` of token ids, against `reference` if there is one; `advance` hears of tokens done.

    ConfigError if the two have different vocabularies; LpcError where a model cannot be run.
    """
    return observe(model, windows, reference, advance).summary(text)


def observe(
    model: Model, windows: Windows, reference: Model | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Observed:  # fmt: skip
    """The same token by token."""
    found: list[list[Floats]] = [[], [], [], []]
    for ids in windows:
        ours = model.logits(ids)[:-1]
        theirs = None if reference is None else reference.logits(ids)[:-1]
        if theirs is not None and theirs.shape != ours.shape:
            raise ConfigError(f"the models have {ours.shape[1]} and {theirs.shape[1]} tokens: not the same vocabulary")
        targets = np.asarray(ids[1:])
        for begin in range(0, len(targets), _ROWS):
            part = slice(begin, begin + _ROWS)
            for values, each in zip(found, _of_rows(targets[part], ours[part], theirs, part), strict=False):
                values.append(each)
        advance(len(ids))
    loss, reference_loss, kl, agreement = (np.concatenate(values) if values else np.empty(0) for values in found)
    return Observed(loss, reference_loss, kl, agreement)


def _of_rows(
    targets: npt.NDArray[np.int64], ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32] | None, part: slice
) -> Iterator[Floats]:
    """What Observed keeps of some tokens."""
    logs, rows = _log_softmax(ours), np.arange(len(targets))
    yield -logs[rows, targets]
    if theirs is None:
        return
    reference = _log_softmax(theirs[part])
    yield -reference[rows, targets]
    yield np.asarray((np.exp(reference) * (reference - logs)).sum(1), np.float64)
    yield np.asarray(logs.argmax(1) == reference.argmax(1), np.float64)


def text_windows(
    model: Model, file: Path, window: int = 0, most_tokens: int = 0, documents: bool = False
) -> list[list[int]]:
    """Cut a UTF-8 text into windows of token ids (0: WINDOW, or the model's context if that is shorter).

    With `documents` an empty line ends a document, and no window has tokens of two. Each window begins with the token
    that the model expects before a text, if there is one: without it the first tokens are predicted wildly.
    `most_tokens`, those not counted; 0 takes all of the text. ConfigError for a text that is unreadable, empty or too
    short.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not readable as UTF-8 text ({error}); expected a plain text") from None
    size, windows, left = _window_of(model, window), list[list[int]](), most_tokens or len(text)
    for document in _DOCUMENT_END.split(text) if documents else [text]:
        ids = model.tokenizer.encode(document.strip() if documents else document) if document.strip() else []
        before = ids[:1] if ids[:1] == [model.package.bos_id] else []
        rest = ids[len(before) :][:left]
        left -= len(rest)
        windows += [[*before, *piece] for piece in cut(rest, size - len(before))]
    found = sum(map(len, windows))
    if found < _LEAST_TOKENS:
        raise ConfigError(
            f"{file}: {f'{found} tokens' if found else 'empty'}; expected a text of at least {_LEAST_TOKENS} tokens"
        )
    return windows


def generated_windows(model: Model, window: int = 0, count: int = GENERATED_WINDOWS) -> list[list[int]]:
    """Texts that `model` itself writes: without a file a model can still be compared with another one."""
    size, found = _window_of(model, window), []
    for seed in range(count):
        start = _first_ids(model, seed)
        written = model.generate(
            start, max_new_tokens=max(1, size - len(start)), seed=seed, temperature=1.0, top_k=0, top_p=1.0
        )
        for _ in written:
            pass
        ids = [*start, *written.report.token_ids]
        found.append(ids if len(ids) > 1 else [*ids, *ids])
    return found


def cut(ids: Sequence[int], window: int) -> list[list[int]]:
    """Cut ids into windows that follow one another; what is left over at the end counts from two tokens on."""
    pieces = [list(ids[begin : begin + window]) for begin in range(0, len(ids), window)]
    return [piece for piece in pieces if len(piece) > 1]


def _first_ids(model: Model, seed: int) -> list[int]:
    """A text's beginning: the token for it, or else some token."""
    if model.package.bos_id is not None:
        return [model.package.bos_id]
    return [int(np.random.default_rng(seed).integers(model.package.vocab_size))]


def _window_of(model: Model, window: int) -> int:
    if window > model.context_length:
        raise ConfigError(f"window is {window}; expected at most the model's context, {model.context_length}")
    size, first = window or min(WINDOW, model.context_length), model.package.bos_id is not None
    least = _LEAST_WINDOW + first
    if size < least:
        raise ConfigError(
            f"{'window' if window else 'the context of the model'} is {size}; expected {least} or more: "
            f"a token and one that predicts it{', behind the token that begins a text' if first else ''}"
        )
    return size


def _log_softmax(logits: npt.NDArray[np.float32]) -> Floats:
    wide = logits.astype(np.float64)
    wide -= wide.max(1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(1, keepdims=True)), np.float64)


def _plain(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
