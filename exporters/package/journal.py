"""What an export has finished so far: a file of lines beside the growing data file, so that an ended one can go on.

The first line identifies the passes and what they were decided from; each further line is a weight whose bytes are on
the device, with what its transform found ("found", if there is one). Lines are only ever added: of two for one weight
the later one counts. The last one may be cut short.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import xxhash

from edge_runtime.io.files import open_regular, parse_json
from exporters.folders.working import JOURNAL
from exporters.graphs.interface import Extent
from exporters.package.manifest import WrittenTensor


def fingerprint(parts: Any) -> str:
    """Return a hash of anything that JSON can hold."""
    return xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True).encode())


Entry = tuple[WrittenTensor, dict[str, Any]]


class Finished:
    """What the journal in `folder` says: `entries` by weight, each with what its transform found.

    They are those of an export of the same `key`; `other_key` tells that there are some of another one.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.bytes, self.same_key, self.other_key = 0, False, False
        self.entries: dict[str, Entry] = {}
        for line in _lines(folder / JOURNAL):
            if self.bytes == 0:
                self.same_key = line == f"{key}\n".encode()
            elif not self.same_key:
                self.other_key = True
                break
            elif (entry := _entry(line)) is not None:
                self.entries[entry[0].name] = entry
            self.bytes += len(line)

    @property
    def end(self) -> int:
        """Where the last of them ends in the data file, in bytes."""
        return max((record.extent.offset + record.extent.length for record, _ in self.entries.values()), default=0)


def _lines(path: Path) -> Iterator[bytes]:
    """The file's whole lines, with their ends."""
    try:
        with open(open_regular(path), "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
    except OSError:
        return


def _entry(line: bytes) -> Entry | None:
    try:
        record = parse_json(line)
        extent, found = Extent(**record.pop("extent")), record.pop("found", {})
        return WrittenTensor(**{**record, "shape": tuple(record["shape"]), "extent": extent}), found
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


class Journal:
    """Appends lines to what is `finished`, or begins anew where that is another export's. Each line is on the device
    when `add` returns. `found` tells what a transform found for a weight."""

    def __init__(
        self, folder: Path, key: str, finished: Finished, found: Callable[[str], dict[str, Any]] | None = None
    ) -> None:
        self._found = found
        path = folder / JOURNAL
        if path.is_symlink():
            path.unlink()
        self._file = path.open("ab")
        self._file.truncate(finished.bytes if finished.same_key else 0)
        if not finished.same_key:
            self._file.write(f"{key}\n".encode())
        self._sync()

    def add(self, records: Iterable[WrittenTensor]) -> None:
        """Note that these weights are on the device."""
        for record in records:
            found = self._found(record.name) if self._found else {}
            more = {"found": found} if found else {}
            self._file.write((json.dumps(dataclasses.asdict(record) | more) + "\n").encode())
        self._sync()

    def close(self) -> None:
        """Close the file, which stays."""
        self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
