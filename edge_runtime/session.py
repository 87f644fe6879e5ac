"""A loaded model: `load`, the onnxruntime session, generation."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime import provider as lpc_provider
from edge_runtime.budget import Share, ledger
from edge_runtime.errors import BoardError, BudgetError, ConfigError
from edge_runtime.facts import packed_layouts
from edge_runtime.fork import never_end_in_a_child
from edge_runtime.generate import Generation
from edge_runtime.io.units import LARGEST_BYTES, format_allowed, format_needed, parse_rate, parse_size
from edge_runtime.machine.board import figures_for
from edge_runtime.machine.memory import available_bytes
from edge_runtime.package import Package
from edge_runtime.placement import place, place_fallback, weights_of
from edge_runtime.plan import Figures, Placement
from edge_runtime.provider import SessionStats
from edge_runtime.sampling import DEFAULT_TEMPERATURE, DEFAULT_TOP_K, DEFAULT_TOP_P, Sampler, SamplingParams
from edge_runtime.sequence import Graph, SequenceDecoder, runtime_error
from edge_runtime.tokens import Tokenizer

ProviderName = Literal["lpc", "cpu"]
ReadMode = Literal["auto", "direct", "buffered"]

DEFAULT_MAX_NEW_TOKENS = 128
PREFILL_CHUNK = 512
"""Prompt tokens in one forward pass: bounds the memory of logits and activations, and a pass over the weights is cheap
beside the arithmetic of so many tokens."""

MOST_THREADS = 256
MOST_BUS_BYTES_PER_S = 1 << 48
"""Both of native/ep/options.cc."""

_LOG_WARNINGS, _LOG_FATAL = 2, 4
_session_numbers = itertools.count()


def load(
    path: str | Path, *, provider: ProviderName = "lpc", threads: int = 0, context_length: int | None = None,
    prefill_chunk: int | None = None, memory_budget: int | str | None = None, board: str | Path | None = None,
    storage: str | None = None, bus_limit: float | str | None = None, read_mode: ReadMode = "auto",
    transcode: str = "auto", trace: str | Path | None = None, debug: bool = False,
) -> Model:  # fmt: skip
    """Open an exported model; no weight is read yet.

    `provider` "lpc" is our execution provider, "cpu" plain onnxruntime with the fallback op. `threads` is the number of
    threads for arithmetic and for decompression (0: chosen by onnxruntime and by the provider). `context_length` lowers
    the model's own limit of positions. `prefill_chunk` is the number of prompt tokens in one pass (default: 512, or
    what a plan chooses within the budget). `memory_budget` is all that the process may take, in bytes or as "700MB",
    with all models that it has loaded, as long as they live: the smallest budget stated holds for all. What does not
    fit is streamed from the file for every token (default: what this machine has left). `board` is the profile (a name
    or a file of `lpc-board measure`) whose speeds a plan is made from, `storage` which of its storage (default: the
    board that this is, its fastest). `bus_limit` (bytes a second, or "1.5GB/s") imitates a slower bus. `read_mode`
    "direct" reads past the page cache, "buffered" through it, "auto" whichever the first reads show to be faster.
    `transcode` "auto" keeps bf16 weights that stay in memory in the packed layout that this machine computes from
    quickest, whatever codec the file has: the first pass takes longer, every other one less. The name of a layout keeps
    them in that one, "off" as they are stored. `trace` is a file that gets a Chrome trace of reading, decoding, waiting
    and computing when the model is closed. `debug` lets onnxruntime log to stderr.

    Raises ConfigError for an argument out of its range or a missing file, FormatError for a malformed one,
    BudgetError for a budget that is too small or above the limit of the control group, RuntimeUnavailableError without
    a usable onnxruntime or native library.
    """
    memory_budget = parse_size(memory_budget) if isinstance(memory_budget, str) else memory_budget
    bus_limit = parse_rate(bus_limit) if isinstance(bus_limit, str) else bus_limit
    package = Package.open(path)
    _check_arguments(package, provider, threads, context_length, prefill_chunk, memory_budget, bus_limit, transcode)
    tokenizer = Tokenizer(package)
    share = _take_share(
        package, provider, memory_budget, context_length, prefill_chunk, transcode,
        lambda: figures_for(board, storage=storage, threads=threads, bus_limit=bus_limit),
    )  # fmt: skip
    placement = share.placement
    session_id = f"lpc-{os.getpid()}-{next(_session_numbers)}"
    options = _provider_options(session_id, placement, threads, read_mode, bus_limit, transcode, trace)
    graph = _open(share, package, options if provider == "lpc" else None, threads, debug)
    return Model(
        package=package, tokenizer=tokenizer, graph=graph, provider=provider, session_id=session_id, share=share,
        context_length=context_length or package.context_length,
        prefill_chunk=placement.prefill_chunk or prefill_chunk or PREFILL_CHUNK,
    )  # fmt: skip


def _provider_options(
    session_id: str, placement: Placement, threads: int, read_mode: str, bus_limit: float | None, transcode: str,
    trace: str | Path | None,
) -> dict[str, str]:  # fmt: skip
    return {
        lpc_provider.OPTION_SESSION_ID: session_id,
        lpc_provider.OPTION_DECODE_THREADS: str(threads),
        lpc_provider.OPTION_PRODUCT_THREADS: str(threads or len(os.sched_getaffinity(0))),
        "read_mode": read_mode,
        "bus_limit_bytes_per_s": str(int(bus_limit or 0)),
        **placement.options(),
        **({"trace_file": str(trace)} if trace else {}),
        **({lpc_provider.OPTION_TRANSCODE_LAYOUT: transcode} if transcode != "off" else {}),
    }


def _open(share: Share, package: Package, options: dict[str, str] | None, threads: int, debug: bool) -> Graph:
    """Open the session, which holds its share of the budget from now on; without `options` on plain onnxruntime."""
    try:
        session = open_session(package, options, threads, debug)
        graph = Graph.of(session, package, uses_provider=options is not None)
    except BaseException:
        ledger.give_back(share)
        raise
    ledger.hold(share, graph)
    return graph


def _take_share(
    package: Package, provider: str, memory_budget: int | None, context_length: int | None,
    prefill_chunk: int | None, transcode: str, figures: Callable[[], Figures],
) -> Share:  # fmt: skip
    """Place the model in what other models leave of the process's budget; BudgetError."""
    text: dict[str, Any] = {"context_length": context_length, "prefill_chunk": prefill_chunk}
    with ledger.lock:
        if provider == "lpc":
            placement = place(
                package, memory_budget=memory_budget, transcode=transcode != "off", layout=transcode, figures=figures,
                **text,
            )  # fmt: skip
        else:
            placement = place_fallback(package, memory_budget=memory_budget, **text)
        share = Share(placement, memory_budget, weights_of(package, transcode if provider == "lpc" else provider))
        ledger.take(share, package.path)
    return share


def _check_arguments(
    package: Package, provider: str, threads: int, context_length: int | None, prefill_chunk: int | None,
    memory_budget: int | None, bus_limit: float | None, transcode: str,
) -> None:  # fmt: skip
    """ConfigError for an argument out of its range."""
    if provider not in ("lpc", "cpu"):
        raise ConfigError(f"provider is {provider!r}; expected 'lpc' or 'cpu'")
    longest = package.context_length
    _require_whole("threads", threads, 0, MOST_THREADS, f"0 (automatic) to {MOST_THREADS}")
    _require_whole("prefill_chunk", prefill_chunk, 1, None, "1 or more")
    _require_whole("context_length", context_length, 2, longest, f"2 to {longest}, which is this model's limit")
    _require_whole("memory_budget", memory_budget, 1, LARGEST_BYTES, "a number of bytes from 1 to 2^63 - 1")
    if bus_limit and not 1 <= bus_limit <= MOST_BUS_BYTES_PER_S:
        raise ConfigError(f"bus_limit is {bus_limit}; expected 1 to {MOST_BUS_BYTES_PER_S} bytes per second")
    if transcode not in ("auto", "off", *packed_layouts()):
        raise ConfigError(f"transcode is {transcode!r}; expected auto, off, or a layout: {', '.join(packed_layouts())}")


def _require_whole(name: str, value: Any, least: int, most: int | None, expected: str) -> None:
    """ConfigError unless `value` is None or a whole number in its range."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if value is not None and not (whole and least <= value and (most is None or value <= most)):
        raise ConfigError(f"{name} is {value!r}; expected {expected}")


class Model:
    """A model that is ready to run, until it is closed. Several threads may generate on one model at once.

    `with load(path) as model:` closes it at the end.
    """

    def __init__(
        self,
        *,
        package: Package,
        tokenizer: Tokenizer,
        graph: Graph,
        provider: ProviderName,
        session_id: str,
        context_length: int,
        prefill_chunk: int,
        share: Share,
    ) -> None:
        """Use `load`."""
        self.placement: Placement | None = share.placement if provider == "lpc" else None
        self.package = package
        self.tokenizer = tokenizer
        self.provider: ProviderName = provider
        self.session_id = session_id
        self.context_length = context_length
        self._open_graph: Graph | None = graph
        self._share = share
        self._prefill_chunk = prefill_chunk

    def close(self) -> None:
        """Let go of the weights; what is being generated ends first. A second call does nothing.

        Afterwards everything that needs the model raises ConfigError.
        """
        self._open_graph = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
        temperature: float = DEFAULT_TEMPERATURE,
        top_k: int = DEFAULT_TOP_K,
        top_p: float = DEFAULT_TOP_P,
        seed: int | None = None,
        greedy: bool = False,
    ) -> Generation:
        """Return an iterator over pieces of text that continue `prompt` (a text, or token ids taken as they are).

        It ends after `max_new_tokens`, with the model's end-of-text token, or when the context is full. `greedy` is the
        same as `temperature` 0; the other arguments are those of `SamplingParams`.

        Raises ConfigError for an argument out of its range and for a prompt that leaves no room in the context.
        """
        params = SamplingParams(0.0 if greedy else temperature, top_k, top_p, seed)
        prompt_ids = self.prompt_ids(prompt)
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {max_new_tokens}; expected 1 or more")
        new_tokens = min(max_new_tokens, self.context_length - len(prompt_ids))
        decoder = self._decoder(len(prompt_ids) + new_tokens - 1)
        stream = self.tokenizer.stream(prompt_ids)
        return Generation(decoder, stream, Sampler(params), prompt_ids, new_tokens, self.package.eos_ids)

    def prompt_ids(self, prompt: str | Sequence[int]) -> list[int]:
        """Return the token ids of `prompt`, checked to leave room for at least one more; raises ConfigError."""
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else [int(token_id) for token_id in prompt]
        self._check_ids(ids)
        if len(ids) >= self.context_length:
            raise ConfigError(
                f"the prompt has {len(ids)} tokens, but the context holds {self.context_length} and one must be left "
                f"to generate: shorten the prompt to {self.context_length - 1} tokens"
                + ("" if self.context_length == self.package.context_length else " or allow a larger context")
            )
        return ids

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the logits after each of `ids`, float32, shape [len(ids), vocab]; raises ConfigError, LpcError."""
        checked = [int(token_id) for token_id in ids]
        self._check_ids(checked)
        if len(checked) > self.context_length:
            raise ConfigError(f"{len(checked)} tokens are more than the context, which holds {self.context_length}")
        decoder = self._decoder(len(checked))
        return np.concatenate([chunk[0] for chunk in decoder.prefill_chunks(checked)])

    def prompt_passes(self, tokens: int) -> int:
        """Return how many forward passes a prompt of `tokens` takes."""
        return -(-tokens // self._graph.chunk(self._prefill_chunk))

    def decoder(self, capacity: int) -> SequenceDecoder:
        """Return an empty text of at most `capacity` positions, for callers that choose every token themselves."""
        return self._decoder(capacity)

    def stats(self) -> SessionStats | None:
        """What the provider did for this model so far; None with provider "cpu", where nobody counts."""
        return lpc_provider.session_stats(self.session_id) if self.provider == "lpc" else None

    @property
    def _graph(self) -> Graph:
        if self._open_graph is None:
            raise ConfigError(f"{self.package.path}: the model is closed; load it again")
        return self._open_graph

    def _decoder(self, capacity: int) -> SequenceDecoder:
        """An empty text; BudgetError if the memory for the weights has gone since the model was loaded: once."""
        self._graph.require_process()
        if not self._share.begun:
            need = ledger.to_come(self._share)
            try:
                left = available_bytes()
            except BoardError:  # nobody knows here
                left = need
            if need > left:
                raise BudgetError(
                    f"{self.package.path}: the weights and a text take {format_needed(need)}, but only "
                    f"{format_allowed(left)} are left: this machine's memory, or the limit of its control group, has "
                    "shrunk since the plan was made; load the model again with a smaller memory budget"
                )
            self._share.begun = True
        return SequenceDecoder(self._graph, capacity, self._prefill_chunk)

    def _check_ids(self, ids: list[int]) -> None:
        if not ids:
            raise ConfigError("the prompt has no tokens; expected at least one")
        wrong = next((token_id for token_id in ids if not 0 <= token_id < self._graph.vocab_size), None)
        if wrong is not None:
            raise ConfigError(f"token id {wrong} is out of range: this model has ids 0 to {self._graph.vocab_size - 1}")


def open_session(package: Package, provider_options: dict[str, str] | None, threads: int, debug: bool) -> Any:
    """Create the onnxruntime session, on the CPU alone without `provider_options`; no weight is read."""
    ort = lpc_provider.import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_WARNINGS if debug else _LOG_FATAL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider_options is None or not lpc_provider.brings_custom_ops(ort):
        lpc_provider.register_custom_ops(options)
    providers = None
    if provider_options is not None:
        options.add_provider_for_devices(lpc_provider.devices(), provider_options)
    else:
        providers = ["CPUExecutionProvider"]
    try:
        session = ort.InferenceSession(str(package.model_file), options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise runtime_error(package, package.model_file, error) from error
    never_end_in_a_child(session)
    return session
