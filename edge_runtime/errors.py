"""The errors of the package: one line each, saying what, where, what was got and what was expected."""

from __future__ import annotations


class LpcError(Exception):
    """Anything that went wrong in a way the user can act on; base class of all others here."""


class ConfigError(LpcError):
    """A configuration (model folder, option, environment variable) that cannot be used."""


class ExportError(LpcError):
    """An export that cannot be carried out."""


class FormatError(LpcError):
    """A file or blob that does not follow its format.

    `file`, `field` and `offset` (bytes) say where, as far as known; the message already contains them.
    """

    def __init__(
        self, message: str, *, file: str | None = None, field: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message)
        self.file = file
        self.field = field
        self.offset = offset


class PackageWarning(UserWarning):
    """An exported folder can be used, but is not what was exported."""


class CodecError(LpcError):
    """An array or a request that a codec cannot take."""


class BudgetError(LpcError):
    """More memory is needed than is there or allowed."""


class BoardError(LpcError):
    """A board profile or a board that cannot be used."""


class RemoteError(LpcError):
    """A remote machine that cannot be reached or used."""


class RuntimeUnavailableError(LpcError):
    """The native library, or an ONNX Runtime that can load it, is missing."""
