"""Reads, converts, encodes and writes weight after weight, in the order of use; takes over what another export of the
same source has finished."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime import codec as blobs
from edge_runtime.errors import ExportError, LpcError
from edge_runtime.io.terminal import Progress
from exporters.checkpoints import dtypes
from exporters.folders.working import Working
from exporters.graphs.interface import DATA_FILE, Extent, Weight
from exporters.package import journal
from exporters.package.blob_writer import BlobWriter
from exporters.package.codec_choice import CodecChoice
from exporters.package.encoder import Encoder
from exporters.package.manifest import WrittenConstant, WrittenTensor
from exporters.package.takeover import described, source_hash, taken_over
from exporters.package.verify import hash_of
from exporters.planning.plan import Plan

_OVERLAP_BYTES = 160 << 20  # two weights up to this size are in memory at once: one is written, one encoded
_PLAIN_RATIO = 0.99  # where the graph takes plain data, a blob must be smaller than this
_SYNC_BYTES = 64 << 20  # written bytes after which they are forced to the device and noted in the journal
_UNSYNCED = 4  # times as many may be under way to the device: then writing waits for it


@dataclass(frozen=True)
class Written:
    """What went into the data file; sizes in bytes, `hash` of it all, `seconds` of encoding and writing, `resumed`
    weights taken over."""

    tensors: list[WrittenTensor]
    constants: list[WrittenConstant]
    bytes: int
    hash: str
    seconds: float
    resumed: int


class WeightWriter:
    """Writes the weights of one plan. `codec` and `dtype` as in ExportOptions; `threads` 0 is one a core."""

    def __init__(self, plan: Plan, work: Working, codec: CodecChoice, dtype: str, threads: int) -> None:
        self.plan, self.graph, self.work = plan, plan.graph, work
        self._data = work.package / DATA_FILE
        self._codec, self._dtype, self._threads = codec, dtype, threads
        self._finished = journal.Finished(work.path, self._key())
        self._tensors: list[WrittenTensor] = []
        self._constants: list[WrittenConstant] = []

    def kept_bytes(self) -> int:
        """Size of what another export of the same source and options left; not verified yet."""
        return min(self._finished.end, self._data.stat().st_size) if self._data.exists() else 0

    def run(self) -> Written:
        """Write every weight that is not there yet, then the large constants."""
        kept = taken_over(self.plan, self.work, self._finished, self._threads)
        total = sum(self.plan.tensors.tensors[name].nbytes for name in self.graph.weights)
        with Progress("encoding", total) as progress, BlobWriter(self._data) as writer:
            self._tensors, resumed = self._write_all(kept, writer, progress)
            self._place()
            for name, array in self.graph.constants.items():
                self._constant(name, array, writer)
            size, digest = writer.size, writer.hash()
        return Written(self._tensors, self._constants, size, digest, progress.seconds, resumed)

    def _write_all(
        self, kept: dict[str, journal.Entry], writer: BlobWriter, progress: Progress
    ) -> tuple[list[WrittenTensor], int]:
        """Write the weights, or take over those of `kept` that lie in their places; return all, and how many those are.
        The next one is read from the device meanwhile."""
        weights, source, resumed = list(self.graph.weights.values()), self.plan.tensors, 0
        transform = self.plan.transform
        log = journal.Journal(self.work.path, self._key(), self._finished, transform.found if transform else None)
        line = _Line(writer, log, self._codec, self._threads)
        try:
            for weight, following in itertools.zip_longest(weights, weights[1:]):
                if weight.tensor in kept and self._take(kept[weight.tensor], line):
                    resumed += 1
                    progress.skip(source.tensors[weight.tensor].nbytes)
                    continue
                if following is not None and following.tensor not in kept:
                    source.prefetch(following.tensor)
                self._write(weight, line)
                progress.advance(source.tensors[weight.tensor].nbytes)
            return line.finish(), resumed
        except BaseException:
            line.note_finished()
            raise
        finally:
            line.close()

    def _take(self, entry: journal.Entry, line: _Line) -> bool:
        """Take over a finished weight; False if it lies in another place now, or is not what the passes left."""
        record, found = entry
        if not line.fits(record) or (self.plan.transform and not self.plan.transform.restore(record.name, found)):
            return False
        line.keep(record)
        return True

    def _write(self, weight: Weight, line: _Line) -> None:
        """Read and convert one weight and hand it on."""
        source = self.plan.tensors
        info = source.tensors[weight.tensor]
        array = source.read(weight.tensor)
        known = {"source_dtype": blobs.dtype_name(array.dtype), "source_bytes": array.nbytes}
        stored, changed, scale_bytes = self._transform(array, weight, info.file)
        if stored is not array:
            known["source"] = source_hash(array, weight, lambda: source.release(weight.tensor))
            source.release(weight.tensor)
            del array
        line.add(
            stored, weight, lambda: source.release(weight.tensor), changed=changed, scale_bytes=scale_bytes, **known
        )

    def _transform(self, array: NDArray[Any], weight: Weight, file: Path) -> tuple[NDArray[Any], int, int]:
        """Return the array as it is stored, how many elements changed, and the bytes of its scales."""
        if self.plan.transform is None:
            return *self._convert(array, weight, file), 0
        changed_array, changed, scale_bytes = self.plan.transform.weight(weight.tensor, array)
        if changed_array.dtype == np.int8:
            return changed_array, changed, scale_bytes
        stored, rounded = self._convert(changed_array, weight, file)
        return stored, max(changed, rounded), scale_bytes

    def _convert(self, array: NDArray[Any], weight: Weight, file: Path) -> tuple[NDArray[Any], int]:
        """Return the array as it is stored, and how many elements were rounded."""

        def release() -> None:
            self.plan.tensors.release(weight.tensor)

        if weight.fixed:
            return array, 0
        if self._dtype == dtypes.KEEP:
            return dtypes.narrow(array, release), 0
        try:
            return dtypes.convert(array, self._dtype, release)
        except OverflowError as error:
            raise ExportError(f"{file}: {weight.tensor}: {error}; choose --dtype keep, bf16 or fp32") from None

    def _place(self) -> None:
        for record in self._tensors:
            if record.plain:
                self.graph.place_constant(record.name, record.extent)
            else:
                self.graph.place(record.name, record.extent, record.dtype, record.codec)

    def _constant(self, name: str, array: NDArray[Any], writer: BlobWriter) -> None:
        extent = writer.append(array)
        dtype = "fp32" if array.dtype == "float32" else array.dtype.name
        self._constants.append(WrittenConstant(name, array.shape, extent, hash_of(array), dtype))
        self.graph.place_constant(name, extent)

    def _key(self) -> str:
        """Identifies the passes and what they were decided from; the weights themselves are told by their hashes."""
        return journal.fingerprint(
            [str(self._codec), self._dtype, self.plan.transform.key if self.plan.transform else ""]
        )


class _Line:
    """The second half of the work, overlapped: while one weight is written, the next is hashed and encoded.

    Two encoders take turns, so that a blob stays valid until it is written; large weights wait for one another. What is
    written goes to the device meanwhile.
    """

    def __init__(self, writer: BlobWriter, log: journal.Journal, codec: CodecChoice, threads: int) -> None:
        self._writer, self._journal = writer, log
        self._encoders = [Encoder(codec, threads), Encoder(codec, threads)]
        self._writing: Future[None] | None = None
        self._syncing: Future[None] | None = None
        self._pool = ThreadPoolExecutor(3)
        self._records: list[WrittenTensor] = []
        self._fresh: list[WrittenTensor] = []  # those of them that the journal is to note
        self._noted, self._synced = 0, 0

    def add(self, array: NDArray[Any], weight: Weight, release: Callable[[], None], **source: Any) -> None:
        """Hash and encode one weight; return when its own memory is no longer needed.

        `source` are the fields of WrittenTensor that tell about the source.
        """
        if array.nbytes > _OVERLAP_BYTES:
            self._wait()
            self._encoders[1].close()
        examined = self._pool.submit(lambda: (hash_of(array), dtypes.not_finite(array)))
        encoded = self._encoders[0].encode(array, weight)
        digest, not_finite = examined.result()
        source.setdefault("source", described(digest, array, weight))
        plain = weight.fixed and encoded.blob.nbytes > _PLAIN_RATIO * array.nbytes
        record = WrittenTensor(
            name=weight.tensor, layer=weight.layer, dtype=blobs.dtype_name(array.dtype), shape=weight.shape,
            codec=encoded.codec, extent=Extent(0, 0), decoded_bytes=array.nbytes, elements=array.size,
            hash=digest, reason=encoded.reason, direct=encoded.direct, not_finite=not_finite, plain=plain, **source,
        )  # fmt: skip
        self._wait()
        if plain:
            self._append(array.reshape(-1), record)
        else:
            self._writing = self._pool.submit(self._append, encoded.blob, record)
            self._encoders.reverse()
        if array.nbytes > _OVERLAP_BYTES:
            self._wait()
        release()

    def fits(self, record: WrittenTensor) -> bool:
        """Tell whether a finished weight lies where it would be written now."""
        self._wait()
        return self._writer.fits(record.extent)

    def keep(self, record: WrittenTensor) -> None:
        """Take over a finished weight that fits."""
        self._writer.keep(record.extent)
        self._records.append(record)

    def finish(self) -> list[WrittenTensor]:
        """Wait for the last weight and return all, in order."""
        self._wait()
        self._wait_for_sync()
        self._sync(len(self._fresh), self._writer.size)
        return self._records

    def note_finished(self) -> None:
        """After a failure: let the journal know what could be written whole, as far as that still goes."""
        for step in (self._wait, self._wait_for_sync, lambda: self._sync(len(self._fresh), self._writer.size)):
            with contextlib.suppress(OSError, LpcError):
                step()

    def close(self) -> None:
        """Stop the threads and give the memory back."""
        self._pool.shutdown()
        self._journal.close()
        for encoder in self._encoders:
            encoder.close()

    def _append(self, blob: NDArray[Any], record: WrittenTensor) -> None:
        record = record.at(self._writer.append(blob))
        self._records.append(record)
        self._fresh.append(record)
        ahead = self._writer.size - self._synced
        if ahead < _SYNC_BYTES or (self._syncing and not self._syncing.done() and ahead < _UNSYNCED * _SYNC_BYTES):
            return
        self._wait_for_sync()
        self._syncing = self._pool.submit(self._sync, len(self._fresh), self._writer.size)

    def _sync(self, records: int, size: int) -> None:
        """Bring the first `records` fresh weights to the device, and then say so in the journal; they end at `size`."""
        self._writer.sync()
        self._journal.add(self._fresh[self._noted : records])
        self._noted, self._synced = records, size

    def _wait_for_sync(self) -> None:
        if self._syncing is not None:
            self._syncing.result()
            self._syncing = None

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None
