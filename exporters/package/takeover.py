"""What another export has finished, compared with the source that is there now and with the bytes on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from edge_runtime import codec as blobs
from edge_runtime.errors import LpcError
from edge_runtime.io.terminal import Progress
from exporters.folders.working import OtherExportError, Working, say
from exporters.graphs.interface import DATA_FILE, Weight
from exporters.package.journal import Entry, Finished, fingerprint
from exporters.package.manifest import WrittenTensor
from exporters.package.verify import DataFile
from exporters.planning.plan import Plan

_PIECE_BYTES = 1 << 20  # more would count towards the peak


def described(content: str, array: NDArray[Any], weight: Weight) -> str:
    """Return what identifies the source of a weight: the hash of its bytes, and a hash of how the graph uses them."""
    use = fingerprint([blobs.dtype_name(array.dtype), weight.shape, weight.layer, weight.by_row, weight.fixed])
    return f"{content}-{use[:16]}"


def source_hash(array: NDArray[Any], weight: Weight, release: Callable[[], None]) -> str:
    """Return what `described` does for a source's array; `release` gives back the memory of what was read."""
    content, data = xxhash.xxh3_128(), array.reshape(-1).view(np.uint8)
    for begin in range(0, data.size, _PIECE_BYTES):
        content.update(data[begin : begin + _PIECE_BYTES].data)
        release()
    return described(content.hexdigest(), array, weight)


def taken_over(plan: Plan, work: Working, finished: Finished, threads: int) -> dict[str, Entry]:
    """Return the finished weights whose source is what it was, and whose bytes decode to what was hashed then.

    OtherExportError if the source or a text is another one now and comes from another path: then it is another export.
    """
    if finished.other_key:
        _changed(work, "what the passes were decided from")
    entries = {name: entry for name, entry in finished.entries.items() if name in plan.graph.weights}
    path = work.package / DATA_FILE
    if not entries or not path.is_file() or path.stat().st_size == 0:
        return {}
    kept, same_source = {}, True
    total = sum(record.source_bytes + record.decoded_bytes for record, _ in entries.values())
    data = DataFile(path, threads)
    with Progress("checking what is there", total) as progress:
        for name, (record, found) in entries.items():
            if _source_of(plan, name) != record.source:
                if same_source:
                    _changed(work, name)
                same_source = False
            elif _intact(data, record):
                kept[name] = record, found
            progress.advance(record.source_bytes + record.decoded_bytes)
    data.close()
    return kept


def _changed(work: Working, what: str) -> None:
    """Say that the inputs are not what they were; OtherExportError if they are other ones."""
    if work.other_inputs:
        inputs = ", ".join(f"{name} {work.begun['inputs'].get(name)}" for name in work.other_inputs)
        raise OtherExportError(
            f"{work.path}: holds what is finished of an export of {inputs}, where {what} is another; go on with that, "
            "choose another place with -o, or drop it with --restart"
        )
    say(f"{work.path}: {what} has changed since the export was begun: what it does not fit any more is made again")


def _source_of(plan: Plan, name: str) -> str:
    def release() -> None:
        plan.tensors.release(name)

    try:
        return source_hash(plan.tensors.read(name), plan.graph.weights[name], release)
    finally:
        release()


def _intact(data: DataFile, record: WrittenTensor) -> bool:
    try:
        return data.hash_of_tensor(record) == record.hash
    except LpcError:
        return False
