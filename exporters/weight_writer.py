"""Reads, converts, encodes and writes weight after weight, in the order of use; takes up where a killed export was."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime import codec as blobs
from edge_runtime import native
from edge_runtime.errors import ExportError, LpcError
from exporters import __version__, dtypes, journal
from exporters.blob_writer import BlobWriter
from exporters.codec_choice import Encoder, in_full
from exporters.graph import DATA_FILE, Extent, Weight
from exporters.manifest import WrittenConstant, WrittenTensor
from exporters.plan import Plan
from exporters.progress import Progress
from exporters.verify import DataFile, hash_of

_OVERLAP_BYTES = 160 << 20  # two weights up to this size are in memory at once: one is written, one encoded
_PLAIN_RATIO = 0.99  # where the graph takes plain data, a blob must be smaller than this
_SYNC_BYTES = 64 << 20  # written bytes after which they are forced to the device and noted in the journal
_UNSYNCED = 4  # times as many may be under way to the device: then writing waits for it


@dataclass(frozen=True)
class Written:
    """What went into the data file; sizes in bytes, `seconds` of encoding and writing, `resumed` weights kept."""

    tensors: list[WrittenTensor]
    constants: list[WrittenConstant]
    bytes: int
    seconds: float
    resumed: int


class WeightWriter:
    """Writes the weights of one plan. `codec` and `dtype` as in ExportOptions; `threads` 0 is one a core."""

    def __init__(self, plan: Plan, folder: Path, codec: str, dtype: str, threads: int) -> None:
        self.plan, self.graph, self.folder = plan, plan.graph, folder
        self._codec, self._dtype, self._threads = in_full(codec), dtype, threads
        self._key = self._fingerprint()
        self._tensors: list[WrittenTensor] = []
        self._constants: list[WrittenConstant] = []

    def kept_bytes(self) -> int:
        """Size of what a killed export of the same source and options left; not verified yet."""
        return _end([record for record, _ in journal.read(self.folder, self._key)])

    def run(self) -> Written:
        """Write every weight that is not there yet, then the large constants."""
        entries = self._resume()
        kept = [record for record, _ in entries]
        total = sum(self.plan.tensors.tensors[name].nbytes for name in self.graph.weights)
        with Progress("encoding", total) as progress:
            progress.skip(sum(record.source_bytes for record in kept))
            with BlobWriter(self.folder / DATA_FILE, _end(kept)) as writer:
                self._tensors = [*kept, *self._write_all(entries, writer, progress)]
                self._place()
                for name, array in self.graph.constants.items():
                    self._constant(name, array, writer)
                size = writer.size
        return Written(self._tensors, self._constants, size, progress.seconds, len(kept))

    def _write_all(self, kept: list[journal.Entry], writer: BlobWriter, progress: Progress) -> list[WrittenTensor]:
        """Write the weights after `kept`; the next one is read from the device meanwhile."""
        weights, source = list(self.graph.weights.values())[len(kept) :], self.plan.tensors
        found = self.plan.transform.found if self.plan.transform else None
        log = journal.Journal(self.folder, self._key, kept, found)
        line = _Line(writer, log, self._codec, self._threads)
        try:
            for weight, following in itertools.zip_longest(weights, weights[1:]):
                if following is not None:
                    source.prefetch(following.tensor)
                self._write(weight, line)
                progress.advance(source.tensors[weight.tensor].nbytes)
            return line.finish()
        finally:
            line.close()

    def _write(self, weight: Weight, line: _Line) -> None:
        """Read and convert one weight and hand it on."""
        source = self.plan.tensors
        info = source.tensors[weight.tensor]
        array = source.read(weight.tensor)
        source_dtype, source_bytes = blobs.dtype_name(array.dtype), array.nbytes
        stored, changed, scale_bytes = self._transform(array, weight, info.file)
        if stored is not array:
            source.release(weight.tensor)
            del array
        line.add(
            stored, weight, lambda: source.release(weight.tensor), source_dtype=source_dtype,
            source_bytes=source_bytes, changed=changed, scale_bytes=scale_bytes,
        )  # fmt: skip

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

    def _resume(self) -> list[journal.Entry]:
        """Return the weights that a killed export finished and that still decode to what was hashed then."""
        finished = journal.read(self.folder, self._key)
        path = self.folder / DATA_FILE
        if not finished or not path.is_file() or path.stat().st_size < finished[0][0].extent.length:
            return []
        kept = []
        with Progress("checking what is there", sum(record.decoded_bytes for record, _ in finished)) as progress:
            data = DataFile(path, self._threads)
            for (record, found), weight in zip(finished, self.graph.weights.values(), strict=False):
                if record.name != weight.tensor or not _intact(data, record):
                    break
                if self.plan.transform is not None and not self.plan.transform.restore(record.name, found):
                    break
                kept.append((record, found))
                progress.advance(record.decoded_bytes)
            data.close()
        return kept

    def _fingerprint(self) -> str:
        infos = self.plan.tensors.tensors
        weights = []
        for weight in self.graph.weights.values():
            info = infos[weight.tensor]
            weights.append([weight.tensor, weight.shape, weight.layer, weight.by_row, weight.fixed,
                            info.dtype, str(info.file.resolve()), info.offset, info.nbytes])  # fmt: skip
        files = {info.file for info in infos.values()}
        states = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(files)]
        library = native.library().lpc_version().decode()
        passes = self.plan.transform.key if self.plan.transform else ""
        return journal.fingerprint([__version__, library, self._codec, self._dtype, passes, weights, states])


class _Line:
    """The second half of the work, overlapped: while one weight is written, the next is hashed and encoded.

    Two encoders take turns, so that a blob stays valid until it is written; large weights wait for one another. What is
    written goes to the device meanwhile.
    """

    def __init__(self, writer: BlobWriter, log: journal.Journal, codec: str, threads: int) -> None:
        self._writer, self._journal = writer, log
        self._encoders = [Encoder(codec, threads), Encoder(codec, threads)]
        self._writing: Future[None] | None = None
        self._syncing: Future[None] | None = None
        self._pool = ThreadPoolExecutor(3)
        self._records: list[WrittenTensor] = []
        self._noted, self._synced = 0, writer.size

    def add(self, array: NDArray[Any], weight: Weight, release: Callable[[], None], **source: Any) -> None:
        """Hash and encode one weight; return when its own memory is no longer needed.

        `source` are the fields of WrittenTensor that tell about the source.
        """
        if array.nbytes > _OVERLAP_BYTES:
            self._wait()
            self._encoders[1].close()
        examined = self._pool.submit(lambda: (hash_of(array), dtypes.has_nan(array)))
        encoded = self._encoders[0].encode(array, weight)
        digest, nan = examined.result()
        plain = weight.fixed and encoded.blob.nbytes > _PLAIN_RATIO * array.nbytes
        record = WrittenTensor(
            name=weight.tensor, layer=weight.layer, dtype=blobs.dtype_name(array.dtype), shape=weight.shape,
            codec=encoded.codec, extent=Extent(0, 0), decoded_bytes=array.nbytes, elements=array.size,
            hash=digest, reason=encoded.reason, direct=encoded.direct, nan=nan, plain=plain, **source,
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

    def finish(self) -> list[WrittenTensor]:
        """Wait for the last weight and return all, in order."""
        self._wait()
        self._wait_for_sync()
        self._sync(len(self._records), self._writer.size)
        return self._records

    def close(self) -> None:
        """Stop the threads and give the memory back."""
        self._pool.shutdown()
        self._journal.close()
        for encoder in self._encoders:
            encoder.close()

    def _append(self, blob: NDArray[Any], record: WrittenTensor) -> None:
        self._records.append(record.at(self._writer.append(blob)))
        ahead = self._writer.size - self._synced
        if ahead < _SYNC_BYTES or (self._syncing and not self._syncing.done() and ahead < _UNSYNCED * _SYNC_BYTES):
            return
        self._wait_for_sync()
        self._syncing = self._pool.submit(self._sync, len(self._records), self._writer.size)

    def _sync(self, records: int, size: int) -> None:
        """Bring the first `records` weights to the device, and then say so in the journal; they end at `size`."""
        self._writer.sync()
        self._journal.add(self._records[self._noted : records])
        self._noted, self._synced = records, size

    def _wait_for_sync(self) -> None:
        if self._syncing is not None:
            self._syncing.result()
            self._syncing = None

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None


def _intact(data: DataFile, record: WrittenTensor) -> bool:
    try:
        return data.hash_of_tensor(record) == record.hash
    except LpcError:
        return False


def _end(records: Sequence[WrittenTensor]) -> int:
    return max((record.extent.offset + record.extent.length for record in records), default=0)
