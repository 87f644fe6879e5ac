"""One text on one onnxruntime session: a KV cache in place, bindings made once, little Python a token."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime import native
from edge_runtime.errors import FormatError, LpcError
from edge_runtime.fork import process_number, require_process
from edge_runtime.generate import Cancelled
from edge_runtime.io.printable import printable
from edge_runtime.package.folder import CONFIG_FILE, MOST_TOKENS, Package
from edge_runtime.package.manifest import UPDATE
from edge_runtime.plan.model import ModelShape
from edge_runtime.provider import RUN_ID, import_onnxruntime
from edge_runtime.sampling import FloatRow

Ints = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]

_LOGITS_LIMIT = 256 << 20  # bytes for one pass
_NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_TOKEN_INPUTS = ("input_ids", "attention_mask", "position_ids")
_TEXT_LENGTH = "text_length"  # an optional input: the length of a text that is read in several passes
_RECOMPUTED_AFTER = "lpc.recomputed_after"  # in the graph's metadata
_LIBRARY_ERROR = re.compile(r"lpc: (LPC_\w+): (.*)", re.DOTALL)
_ONNXRUNTIME_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |^Error in execution: ")
_MOST_SHOWN = 300  # characters of the beginning and of the end
_run_numbers = itertools.count()
_FILE_FAULTS = ("LPC_FORMAT_ERROR", "LPC_CHECKSUM_MISMATCH", "LPC_UNSUPPORTED")


@dataclass(frozen=True)
class KvTensor:
    """One key or value cache: graph input and output, heads, padded head size and element type."""

    past: str
    present: str
    heads: int
    head_dim: int
    dtype: Any


@dataclass(frozen=True)
class Graph:
    """The session and what its inputs and outputs look like.

    `takes_length`: rotary positions depend on the length of the whole text. `recomputed_after`: a text that grows past
    so many tokens is computed anew, -1 for never.
    """

    session: Any
    package: Package
    kv: tuple[KvTensor, ...]
    token_inputs: tuple[str, ...]
    vocab_size: int
    logits_dtype: Any
    uses_provider: bool
    process: int
    takes_length: bool = False
    recomputed_after: int = -1

    @classmethod
    def of(cls, session: Any, package: Package, *, uses_provider: bool) -> Graph:
        inputs = {value.name: value for value in session.get_inputs()}
        outputs = {value.name: value for value in session.get_outputs()}
        if not package.cache_in_place:
            raise FormatError(
                f"{package.path / CONFIG_FILE}: search.past_present_share_buffer is false: this graph copies its KV "
                "cache at every token; expected one that appends in place (GroupQueryAttention); onnxruntime-genai can "
                "run it",
                file=str(package.path / CONFIG_FILE), field="search.past_present_share_buffer",
            )  # fmt: skip
        kv = []
        for name, value in inputs.items():
            present = name.replace("past_key_values.", "present.", 1)
            if name in _TOKEN_INPUTS:
                continue
            shape, dtype = value.shape, _NUMPY_TYPES.get(value.type)
            if present == name or present not in outputs or len(shape) != 4 or dtype is None:
                raise _graph_error(package, f"input {name} of type {value.type} and shape {shape} is not known")
            if not all(isinstance(shape[axis], int) for axis in (1, 3)):
                raise _graph_error(package, f"input {name} has shape {shape}: heads and head size must be fixed")
            kv.append(KvTensor(name, present, shape[1], shape[3], dtype))
        logits = outputs.get("logits")
        if "input_ids" not in inputs or logits is None or logits.type not in _NUMPY_TYPES or len(logits.shape) != 3:
            raise _graph_error(package, "it has no input_ids, or no float logits of shape [batch, sequence, vocab]")
        vocab = logits.shape[2] if isinstance(logits.shape[2], int) else package.vocab_size
        if not 0 < vocab <= MOST_TOKENS:
            raise _graph_error(package, f"its logits are of {vocab} tokens, expected 1 to {MOST_TOKENS}")
        _check_cache(package, kv)
        token_inputs = tuple(name for name in _TOKEN_INPUTS if name in inputs)
        optional = {value.name for value in session.get_overridable_initializers()}
        return cls(
            session, package, tuple(kv), token_inputs, vocab, _NUMPY_TYPES[logits.type], uses_provider,
            process_number(),
            takes_length=_TEXT_LENGTH in optional, recomputed_after=_recomputed_after(session, package),
        )  # fmt: skip

    def require_process(self) -> None:
        """LpcError in a child of fork, where the session has no threads."""
        require_process(self.process, self.package.path)

    def chunk(self, prefill_chunk: int) -> int:
        """Prompt tokens in one pass: `prefill_chunk`, or fewer where their logits would be large."""
        return max(1, min(prefill_chunk, _LOGITS_LIMIT // (4 * self.vocab_size)))


class SequenceDecoder:
    """One text on one session: its KV cache, and bindings that are made once.

    Keys and values lie in buffers of `capacity` positions that are bound both as past and as present, so attention
    appends in place. A single-token step changes three numbers in bound buffers and runs: all its shapes stay the same
    (the attention mask always has `capacity` entries, 0 for positions to come), so that onnxruntime plans memory once.
    """

    def __init__(self, graph: Graph, capacity: int, prefill_chunk: int) -> None:
        self._graph = graph
        self._capacity = capacity
        self._length = 0
        self._chunk = graph.chunk(prefill_chunk)
        self._options: Any = import_onnxruntime().RunOptions()
        self._run_id = f"{os.getpid()}-{next(_run_numbers)}"
        self._options.add_run_config_entry(RUN_ID, self._run_id)
        self._cancelled = False
        self._cache = [np.zeros((1, kv.heads, capacity, kv.head_dim), kv.dtype) for kv in graph.kv]
        self._values = [_value(array) for array in self._cache]
        self._ids = np.zeros(capacity, np.int64)
        self._input_ids = np.zeros((1, 1), np.int64)
        self._position_ids = np.zeros((1, 1), np.int64)
        self._mask = np.zeros((1, capacity), np.int64)
        self._raw_logits = np.empty((1, 1, graph.vocab_size), graph.logits_dtype)
        self._step_logits: Logits = self._raw_logits.astype(np.float32, copy=False)  # itself, where it is float32
        self._step_row: FloatRow = self._step_logits[0, 0]
        self._step_binding = self._bind(self._input_ids, self._mask, self._position_ids, self._raw_logits)

    def prefill(self, ids: Sequence[int]) -> FloatRow:
        """Append `ids` and return the logits after the last, float32, shape [vocab]."""
        for chunk in self.prefill_chunks(ids):
            logits = chunk
        self._mask[0, : self._length] = 1
        last: FloatRow = logits[0, -1]
        return last

    def prefill_chunks(self, ids: Sequence[int]) -> Iterator[Logits]:
        """Append `ids` a chunk at a time; yields each chunk's logits, float32, shape [1, tokens, vocab].

        Where the text passes the length after which it is computed anew, the chunks begin with its first token.
        """
        begin, end = self._length, self._length + len(ids)
        self._ids[begin:end] = ids
        if begin <= self._graph.recomputed_after < end:
            begin = self._length = 0
        length = np.array(end, np.int64)
        for start in range(begin, end, self._chunk):
            stop = min(start + self._chunk, end)
            mask, positions = np.ones((1, stop), np.int64), np.arange(start, stop, dtype=np.int64)[None]
            logits = np.empty((1, stop - start, self._graph.vocab_size), self._graph.logits_dtype)
            self._run(self._bind(self._ids[None, start:stop], mask, positions, logits, length))
            self._length = stop
            yield logits.astype(np.float32, copy=False)

    def step(self, token_id: int) -> FloatRow:
        """Append one token and return the logits after it, float32, shape [vocab], valid until the next call."""
        if self._length == self._graph.recomputed_after:
            return self.prefill([token_id])
        self._ids[self._length] = token_id
        self._input_ids[0, 0] = token_id
        self._position_ids[0, 0] = self._length
        self._mask[0, self._length] = 1
        self._run(self._step_binding)
        self._length += 1
        if self._step_logits is not self._raw_logits:
            np.copyto(self._step_logits, self._raw_logits)
        return self._step_row

    def cancel(self) -> None:
        """Stop the pass that is running, between two of its nodes or while it waits for weights; refuse later ones."""
        self._cancelled = True
        self._options.terminate = True
        if self._graph.uses_provider:
            native.cancel_run(self._run_id)

    def _bind(
        self, ids: Ints, mask: Ints, positions: Ints, logits: npt.NDArray[Any], length: Ints | None = None
    ) -> Any:
        binding = self._graph.session.io_binding()
        for name, array in zip(_TOKEN_INPUTS, (ids, mask, positions), strict=True):
            if name in self._graph.token_inputs:
                binding.bind_ortvalue_input(name, _value(array))
        for kv, value in zip(self._graph.kv, self._values, strict=True):
            binding.bind_ortvalue_input(kv.past, value)
            binding.bind_ortvalue_output(kv.present, value)
        if length is not None and self._graph.takes_length:
            binding.bind_ortvalue_input(_TEXT_LENGTH, _value(length))
        binding.bind_ortvalue_output("logits", _value(logits))
        return binding

    def _run(self, binding: Any) -> None:
        if self._cancelled:
            raise Cancelled
        self._graph.require_process()
        try:
            self._graph.session.run_with_iobinding(binding, self._options)
        except Exception as error:  # onnxruntime's exceptions have no base class of their own
            if self._cancelled:
                raise Cancelled from error
            raise runtime_error(self._graph.package, self._graph.package.model_file, error) from error


def runtime_error(package: Package, file: Path, error: Exception) -> LpcError:
    """Return onnxruntime's `error`, met while using `file`, as one clear line; FormatError if the data are at fault.

    What the library says arrives as "lpc: STATUS: message" at the end of onnxruntime's own words.
    """
    text = " ".join(str(error).split())
    found = _LIBRARY_ERROR.search(text)
    if found is None:
        return LpcError(f"{file}: {_fitting(_ONNXRUNTIME_PREFIX.sub('', text))}")
    status, message = found.groups()
    if message.endswith(UPDATE):
        return FormatError(f"{file}: {message}", file=str(file))
    data_file = package.data_file
    message = message if data_file.name in message else f"{data_file}: {message}"
    if status in _FILE_FAULTS:
        return FormatError(f"{message}; copy the model again or export it again", file=str(data_file))
    return LpcError(message)


def _fitting(text: str) -> str:
    """onnxruntime's words, which repeat whatever names a graph has: safe to show, and no more than fits a line."""
    text = printable(text)
    return text if len(text) <= 2 * _MOST_SHOWN else f"{text[:_MOST_SHOWN]} .. {text[-_MOST_SHOWN:]}"


def _recomputed_after(session: Any, package: Package) -> int:
    text = session.get_modelmeta().custom_metadata_map.get(_RECOMPUTED_AFTER, "-1")
    try:
        return int(text)
    except ValueError:
        raise _graph_error(package, f"its metadata says {_RECOMPUTED_AFTER}={printable(text)[:40]}") from None


def _check_cache(package: Package, kv: Sequence[KvTensor]) -> None:
    """FormatError for a KV cache that is larger than the one for which memory was planned."""
    planned = ModelShape.of(package, transcode=False).kv_bytes(1, "fp32")
    needed = sum(each.heads * each.head_dim * np.dtype(each.dtype).itemsize for each in kv)
    if needed > planned:
        raise _graph_error(
            package, f"its KV cache takes {needed} bytes per token, but {CONFIG_FILE} describes one of {planned}"
        )


def _graph_error(package: Package, what: str) -> FormatError:
    return FormatError(
        f"{package.model_file}: {what}; expected a graph as lpc-export writes it", file=str(package.model_file)
    )


def _value(array: npt.NDArray[Any]) -> Any:
    """An OrtValue on the array's own memory; the caller keeps the array alive while it is bound."""
    return import_onnxruntime().OrtValue.ortvalue_from_numpy(array)
