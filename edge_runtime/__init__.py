"""Runs LLMs whose weights stay losslessly compressed, through an ONNX Runtime execution provider.

Everything is loaded at first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime import codec as codec
    from edge_runtime.errors import BoardError as BoardError
    from edge_runtime.errors import BudgetError as BudgetError
    from edge_runtime.errors import CodecError as CodecError
    from edge_runtime.errors import ConfigError as ConfigError
    from edge_runtime.errors import ExportError as ExportError
    from edge_runtime.errors import FormatError as FormatError
    from edge_runtime.errors import LpcError as LpcError
    from edge_runtime.errors import RemoteError as RemoteError
    from edge_runtime.errors import RuntimeUnavailableError as RuntimeUnavailableError
    from edge_runtime.generate import Generation as Generation
    from edge_runtime.generate import GenerationReport as GenerationReport
    from edge_runtime.generate import Piece as Piece
    from edge_runtime.provider import get_ep_name as get_ep_name
    from edge_runtime.provider import get_library_path as get_library_path
    from edge_runtime.provider import register as register
    from edge_runtime.session import Model as Model
    from edge_runtime.session import load as load

    __version__: str

# From 1.29 on onnxruntime tells its makers what it does, from a thread of its own; whoever wants that sets this to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Public name -> module that defines it; "" for a module itself.
_LAZY = {
    "codec": "",
    "load": "session",
    "Model": "session",
    "Generation": "generate",
    "GenerationReport": "generate",
    "Piece": "generate",
    "register": "provider",
    "get_library_path": "provider",
    "get_ep_name": "provider",
    "LpcError": "errors",
    "ConfigError": "errors",
    "ExportError": "errors",
    "FormatError": "errors",
    "CodecError": "errors",
    "BudgetError": "errors",
    "BoardError": "errors",
    "RemoteError": "errors",
    "RuntimeUnavailableError": "errors",
}

_DISTRIBUTION = "lpc-edge-runtime"

__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _LAZY[name]
    if not module:
        return importlib.import_module(f"{__name__}.{name}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def _version() -> str:
    """The version of the installed package; "0+unknown" in a source tree that is not installed."""
    from importlib import metadata

    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted(__all__)
