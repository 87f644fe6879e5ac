"""What an export has finished so far: a file of lines beside the growing data file, so that a killed one can go on.

The first line identifies source and options; each further line is a weight whose bytes are on the device, with what its
transform found ("found", if there is one). A line that was cut short ends the journal.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import xxhash

from exporters.graph import Extent
from exporters.manifest import WrittenTensor
from exporters.staging import JOURNAL


def fingerprint(parts: Any) -> str:
    """Return a hash of anything that JSON can hold."""
    return xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True).encode())


Entry = tuple[WrittenTensor, dict[str, Any]]


def read(folder: Path, key: str) -> list[Entry]:
    """Return the weights that an export of the same `key` finished, each with what its transform found; none where it
    was another one's."""
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    if lines[0] != key:
        return []
    records: list[Entry] = []
    for line in lines[1:-1]:  # what follows the last newline was cut short
        try:
            record = json.loads(line)
            extent, found = Extent(**record.pop("extent")), record.pop("found", {})
            records.append((WrittenTensor(**{**record, "shape": tuple(record["shape"]), "extent": extent}), found))
        except (ValueError, TypeError, KeyError, AttributeError):
            break
    return records


class Journal:
    """Appends lines; each is on the device when `add` returns. `found` tells what a transform found for a weight."""

    def __init__(
        self, folder: Path, key: str, finished: Iterable[Entry], found: Callable[[str], dict[str, Any]] | None = None
    ) -> None:
        self._found = found
        self._file = (folder / JOURNAL).open("w", encoding="utf-8")
        self._file.write(f"{key}\n")
        for record, known in finished:
            self._write(record, known)
        self._sync()

    def add(self, records: Iterable[WrittenTensor]) -> None:
        """Note that these weights are on the device."""
        for record in records:
            self._write(record, self._found(record.name) if self._found else {})
        self._sync()

    def close(self) -> None:
        """Close the file, which stays."""
        self._file.close()

    def _write(self, record: WrittenTensor, found: dict[str, Any]) -> None:
        more = {"found": found} if found else {}
        self._file.write(json.dumps(dataclasses.asdict(record) | more) + "\n")

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
