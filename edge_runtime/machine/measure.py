"""This machine's figures: memory read by threads, storage read by block size and queue depth, decode rate by codec.

Everything together stays under a minute. Memory: the fastest pass of a step; storage: the mean of a step; decoding: the
median. Other load on the machine makes figures lower: measure when nothing else runs.
"""

from __future__ import annotations

import ctypes
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_double, c_int, c_uint32, c_uint64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boards import Figure, Profile
from boards.detect import Detection, detect
from edge_runtime import native
from edge_runtime.errors import BoardError, CodecError
from edge_runtime.io.units import format_bytes, format_rate

MEMORY_BYTES = 256 << 20
"""Read in one pass: far beyond any cache of a board; less where memory is short."""
BLOCKS = (64 << 10, 256 << 10, 1 << 20, 4 << 20)
QUEUE_DEPTHS = (1, 2, 4, 8, 16)
FILE_BYTES = 1 << 30
DECODED_BYTES = 32 << 20
_WRITE_SECONDS = 10.0
_PIECE = 8 << 20
_ROOM = 2 << 30

Progress = Callable[[int, int, str], None]
"""Called with the steps done, the number of steps, and a line about the step just done."""


class _Measured(ctypes.Structure):
    """lpc_measured."""

    _fields_ = [("bytes", c_uint64), ("nanoseconds", c_uint64)]


class _FileRead(ctypes.Structure):
    """lpc_file_read."""

    _fields_ = [
        ("struct_bytes", c_uint32),
        ("block_bytes", c_uint32),
        ("queue_depth", c_uint32),
        ("direct", c_uint32),
        ("offset", c_uint64),
        ("seconds", c_double),
    ]


@dataclass(frozen=True)
class Settings:
    """What to measure: `file` is read (None: a temporary one in `folder` is written first); `seconds` a step."""

    folder: Path = Path()
    file: Path | None = None
    seconds: float = 0.5
    file_bytes: int = FILE_BYTES
    blocks: tuple[int, ...] = BLOCKS
    queue_depths: tuple[int, ...] = QUEUE_DEPTHS
    threads: int = 0
    memory_bytes: int = MEMORY_BYTES
    decoded_bytes: int = DECODED_BYTES

    @property
    def cores(self) -> int:
        """Threads to go up to: as given, or the processors that this process may use."""
        return self.threads or len(os.sched_getaffinity(0))


def memory_read(threads: int, seconds: float, size: int = MEMORY_BYTES) -> float:
    """Return bytes/s of reading `size` bytes of memory with `threads` threads; raises LpcError."""
    function = native.library().lpc_measure_memory_read
    function.restype, function.argtypes = c_int, [c_uint64, c_uint32, c_double, POINTER(_Measured)]
    measured = _Measured()
    native.check(function(size, threads, seconds, ctypes.byref(measured)))
    return float(measured.bytes / measured.nanoseconds * 1e9)


def file_read(
    file: Path, block_bytes: int, queue_depth: int, *, direct: bool, seconds: float, offset: int = 0
) -> float | None:
    """Return bytes/s of reading blocks of `file`, or None where the file system refuses direct reads.

    Blocks are read in order from `offset`, `queue_depth` at a time, for `seconds` or once through the file. Raises
    LpcError if the file cannot be read, CodecError for an argument out of its range.
    """
    function = native.library().lpc_measure_file_read
    function.restype, function.argtypes = c_int, [c_char_p, POINTER(_FileRead), POINTER(_Measured)]
    read = _FileRead(ctypes.sizeof(_FileRead), block_bytes, queue_depth, int(direct), offset, seconds)
    measured = _Measured()
    status = function(os.fsencode(file), ctypes.byref(read), ctypes.byref(measured))
    if direct and status == native.LPC_UNSUPPORTED:
        return None
    native.check(status)
    return float(measured.bytes / measured.nanoseconds * 1e9)


def decode_rate(codec: str, threads: int, seconds: float, size: int = DECODED_BYTES) -> float:
    """Return decoded bytes/s of `codec` on Gaussian BF16 weights, which compress as trained ones do. CodecError."""
    import ml_dtypes
    import numpy as np

    from edge_runtime import codec as codecs

    weights = np.random.default_rng(0).standard_normal((size // 4096, 2048), np.float32) * np.float32(0.02)
    array = weights.astype(ml_dtypes.bfloat16)
    blob = codecs.encode(array, codec, threads=threads)
    out = np.empty_like(array)
    codecs.decode_into(blob, out, threads)  # warm: pages, tables, threads
    times: list[float] = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        codecs.decode_into(blob, out, threads)
        times.append(time.perf_counter() - start)
    return float(out.nbytes / np.median(times))


def measure(settings: Settings, progress: Progress) -> Profile:
    """Measure this machine and return it as a profile: the detected board's own, its speeds replaced by the measured.

    Raises BoardError if there is no room for the temporary file, LpcError if a file cannot be read,
    RuntimeUnavailableError without the native library.
    """
    found = detect()
    steps = _Steps(progress, settings)
    reads = steps.memory()
    with _test_file(settings, steps.note) as file:
        storage = steps.storage(file)
    figures = {"memory.cpu_read": reads, "storage.disk.read": storage, "decode.rates": steps.decode()}
    return _profile(found, {name: tuple(values) for name, values in figures.items() if values})


class _Steps:
    """The measurements one after another, counted."""

    def __init__(self, progress: Progress, settings: Settings) -> None:
        self._progress = progress
        self._settings = settings
        self._done = 0
        self._counts = sorted({1, settings.cores, *(2**k for k in range(settings.cores.bit_length() - 1))})
        self._codecs = _codecs()
        self._reads = [(block, depth, True) for block in settings.blocks for depth in settings.queue_depths]
        self._reads += [(1 << 20, depth, False) for depth in (1, 4)]
        self._total = len(self._counts) + len(self._reads) + len(self._codecs) * len({1, settings.cores})

    def note(self, text: str) -> None:
        """Tell what goes on without being a step."""
        self._progress(self._done, self._total, text)

    def memory(self) -> list[Figure]:
        return [
            self._figure(
                memory_read(threads, self._settings.seconds, self._settings.memory_bytes),
                f"memory read, {threads} threads",
                threads=threads,
            )
            for threads in self._counts
        ]

    def storage(self, file: Path) -> list[Figure]:
        figures: list[Figure] = []
        for number, (block, depth, direct) in enumerate(self._reads):
            offset = file.stat().st_size * number // len(self._reads)
            seconds = self._settings.seconds
            rate = file_read(file, block, depth, direct=direct, seconds=seconds, offset=offset)
            how = f"{'direct' if direct else 'buffered'} read, {block >> 10} KiB, queue depth {depth}"
            if rate is None:
                self._step(f"{how}: refused by the file system")
                continue
            details = {"block_bytes": block, "queue_depth": depth, "direct": direct}
            figures.append(self._figure(rate, how, **details))
        return figures

    def decode(self) -> list[Figure]:
        figures: list[Figure] = []
        for codec in self._codecs:
            for threads in sorted({1, self._settings.cores}):
                try:
                    rate = decode_rate(codec, threads, self._settings.seconds, self._settings.decoded_bytes)
                except CodecError as error:  # a codec of another build, or one that only takes other dtypes
                    self._step(f"decode {codec}: {error}")
                    continue
                figures.append(self._figure(rate, f"decode {codec}, {threads} threads", codec=codec, threads=threads))
        return figures

    def _figure(self, bytes_per_s: float, what: str, **details: Any) -> Figure:
        self._step(f"{what}: {format_rate(bytes_per_s)}")
        source = f"lpc-board measure, {native.implementation()}, {time.strftime('%Y-%m-%d')}"
        return Figure(float(f"{bytes_per_s / 1e9:.4g}"), "GB/s", "measured", source, None, details)

    def _step(self, text: str) -> None:
        self._done += 1
        self._progress(self._done, self._total, text)


def _codecs() -> list[str]:
    from edge_runtime.facts import codecs

    return list(codecs())


def _profile(found: Detection, figures: dict[str, tuple[Figure, ...]]) -> Profile:
    identity = found.identity
    known = found.profile if found.profile is not None and found.exact else None
    facts: dict[str, tuple[Figure, ...]] = dict(known.figures) if known else {}
    source = "lpc-board measure"
    if identity.cpu:
        facts["cpu.model"] = (Figure(identity.cpu, None, "measured", "/proc/cpuinfo"),)
    facts["cpu.cores"] = (Figure(len(os.sched_getaffinity(0)), "cores", "measured", "sched_getaffinity"),)
    if identity.memory_total:
        total = Figure(identity.memory_total // 1024, "KiB", "measured", "/proc/meminfo", None, {"method": source})
        facts["memory.total"] = (total,)
    # Figures of other copies of the board give way to this one's.
    facts = {name: value for name, value in facts.items() if name not in ("memory.cpu_copy", "memory.cpu_fill")}
    node = platform.node() or "machine"
    if known:
        return replace(known, name=f"{known.name} ({node})", figures={**facts, **figures}, file=None)
    name = identity.model or " ".join(identity.dmi) or identity.cpu or identity.machine
    return Profile("this-machine", f"{name} ({node})", None, (), {}, {**facts, **figures}, ())


@contextmanager
def _test_file(settings: Settings, note: Callable[[str], None]) -> Iterator[Path]:
    """The file to read: the one given, or a temporary one, gone afterwards whatever happens."""
    if settings.file is not None:
        if not settings.file.is_file():
            raise BoardError(f"{settings.file}: is no file; give one of some hundred MB, such as a model.lpc")
        yield settings.file
        return
    size = _temporary_size(settings)
    note(f"writing a file of up to {format_bytes(size)} in {settings.folder.resolve()}")
    try:
        with tempfile.NamedTemporaryFile(prefix=".lpc-measure-", dir=settings.folder) as file:
            _fill(file, size)
            yield Path(file.name)
    except OSError as error:
        raise BoardError(
            f"{settings.folder.resolve()}: cannot write a temporary file ({error.strerror or error}); "
            "give a folder on the storage to measure (--folder), or a file there to read (--file)"
        ) from error


def _temporary_size(settings: Settings) -> int:
    state = os.statvfs(settings.folder)
    free = state.f_bavail * state.f_frsize
    size = min(settings.file_bytes, max(0, free - _ROOM) // _PIECE * _PIECE)
    if size < _PIECE:
        raise BoardError(
            f"{settings.folder.resolve()}: {format_bytes(free)} are free, {format_bytes(_ROOM)} are left alone; "
            "give another folder (--folder), or a file to read (--file)"
        )
    return size


def _fill(file: Any, size: int) -> None:
    """Write incompressible bytes, for at most some seconds on slow storage."""
    piece = bytearray(os.urandom(_PIECE))
    begin = time.monotonic()
    for number in range(size // _PIECE):
        piece[:8] = number.to_bytes(8, "little")  # no two blocks alike: storage may notice
        file.write(piece)
        os.fdatasync(file.fileno())
        if time.monotonic() - begin > _WRITE_SECONDS:
            break
    file.flush()
    os.fsync(file.fileno())
