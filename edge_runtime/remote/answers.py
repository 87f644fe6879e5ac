"""What a board answers, as types. `board/` says it; docs/remote.md has the operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from edge_runtime.errors import FormatError, RemoteError
from edge_runtime.io.printable import printable
from edge_runtime.io.typed_json import Json, Record, read

_Kind = TypeVar("_Kind", bound=Record)


@dataclass(frozen=True)
class Answer:
    """One answer of the board `name`: `in` tells which keys it has, `read` makes it a type."""

    name: str
    values: Mapping[str, Json]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def read(self, kind: type[_Kind]) -> _Kind:
        """Return it as one of the types here; RemoteError if something is missing or of another type."""
        try:
            return read(kind, self.values, "the answer")
        except FormatError as error:
            raise nonsense(self.name, self.values, str(error).removeprefix("the answer: ")) from None


def nonsense(name: str, answer: object, why: str) -> RemoteError:
    """Return the error for an answer that no operation of the board `name` gives."""
    shown = printable(repr(answer))[:100]
    return RemoteError(f"{name}: the board's answer makes no sense ({printable(why)[:100]}): {shown}")


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who asks: `who` for people; user, host and process, by which its machine finds out whether it still runs."""

    who: str = "somebody"
    user: str | None = None
    host: str | None = None
    pid: int | None = None
    start: str | None = None
    boot: str | None = None


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has the board, for how many seconds, and what keeps it held: "run" or "client"."""

    who: str = "somebody"
    age_s: float | None = None
    token: str | None = None
    client: Client | None = None
    holds: str | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An operation that failed; `kind` is "full", "busy", "system" or "failed"."""

    error: str
    kind: str | None = None


@dataclass(frozen=True, kw_only=True)
class Busy:
    """Somebody else has the board."""

    holder: Holder


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """The board was taken from a client of whom nothing is heard any more."""

    took_over: Holder


@dataclass(frozen=True, kw_only=True)
class KnownJob:
    """A run on the board: its folder, whether it still runs, and what is to be removed after it."""

    job: str
    alive: bool = False
    made: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The board is ours. `base` is our folder there; below it lie `models` with the bytes that are there,
    what is `complete`, the `jobs`, the newest last, and what a dead client left to be removed, `inherited`.
    """

    base: str
    complete: tuple[str, ...]
    models: Mapping[str, int]
    inherited: tuple[str, ...]
    jobs: tuple[KnownJob, ...]


@dataclass(frozen=True, kw_only=True)
class Done:
    """The operation was carried out."""

    done: bool = False


@dataclass(frozen=True, kw_only=True)
class Hashes:
    """SHA-256 of some chunks of a file, in order."""

    file: str
    chunks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A chunk of so many bytes was written."""

    stored: int


@dataclass(frozen=True, kw_only=True)
class Log:
    """Some of a log, and where the rest of it begins, in bytes."""

    log: str
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The run ended with this exit code."""

    ended: int


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The run did not end by itself: why."""

    lost: str


@dataclass(frozen=True, kw_only=True)
class ResultSize:
    """Bytes of the result that follows."""

    size: int


@dataclass(frozen=True, kw_only=True)
class ResultPiece:
    """Some of it, in base64."""

    data: str


@dataclass(frozen=True, kw_only=True)
class ResultDigest:
    """SHA-256 of all of it."""

    sha256: str


@dataclass(frozen=True, kw_only=True)
class LeftBehind:
    """What could not be removed; `taken`: nothing was, because somebody else has the board by now."""

    left: tuple[str, ...]
    taken: bool = False


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What could not be removed, and whose work was ended."""

    left: tuple[str, ...]
    holder: Holder | None = None
