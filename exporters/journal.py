"""What an export has finished so far: a file of lines beside the growing data file, so that a killed one can go on.

The first line identifies source and options; each further line is a weight whose bytes are on the device. A line that
was cut short ends the journal.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xxhash

from exporters.graph import Extent
from exporters.manifest import WrittenTensor
from exporters.staging import JOURNAL


def fingerprint(parts: Any) -> str:
    """Return a hash of anything that JSON can hold."""
    return xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True).encode())


def read(folder: Path, key: str) -> list[WrittenTensor]:
    """Return the weights that an export of the same `key` finished; none where it was another one's."""
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    if lines[0] != key:
        return []
    records = []
    for line in lines[1:-1]:  # what follows the last newline was cut short
        try:
            record = json.loads(line)
            extent = Extent(**record.pop("extent"))
            records.append(WrittenTensor(**{**record, "shape": tuple(record["shape"]), "extent": extent}))
        except (ValueError, TypeError, KeyError):
            break
    return records


class Journal:
    """Appends lines; each is on the device when `add` returns."""

    def __init__(self, folder: Path, key: str, finished: Iterable[WrittenTensor]) -> None:
        self._file = (folder / JOURNAL).open("w", encoding="utf-8")
        self._file.write(f"{key}\n")
        for record in finished:
            self._write(record)
        self._sync()

    def add(self, records: Iterable[WrittenTensor]) -> None:
        """Note that these weights are on the device."""
        for record in records:
            self._write(record)
        self._sync()

    def close(self) -> None:
        """Close the file, which stays."""
        self._file.close()

    def _write(self, record: WrittenTensor) -> None:
        self._file.write(json.dumps(dataclasses.asdict(record)) + "\n")

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
