"""Our execution provider in onnxruntime: found, checked, registered once a process."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime import facts, fork, native
from edge_runtime.errors import RuntimeUnavailableError

MINIMUM_ONNXRUNTIME = (1, 23, 1)
OPTION_SESSION_ID = "session_id"
OPTION_DECODE_THREADS = "decode_threads"
OPTION_PRODUCT_THREADS = "product_threads"
OPTION_TRANSCODE_LAYOUT = "transcode_layout"

READ_MODES = {1: "direct", 2: "buffered"}  # lpc_read_mode
RUN_ID = "lpc.run_id"
"""Entry of RunOptions under which a run can be cancelled (edge_runtime.native.cancel_run)."""

_EP_NAME = "LpcExecutionProvider"
_lock = threading.Lock()


@dataclass(frozen=True)
class SessionStats:
    """What the provider did for one session so far: an attribute for each counter of `facts.counters()`.

    docs/architecture.md says what they count.
    """

    counts: Mapping[str, int]

    def __getattr__(self, name: str) -> int:
        counts: Mapping[str, int] = self.__dict__.get("counts", {})
        if name not in counts:
            raise AttributeError(f"{type(self).__name__} has no counter {name!r}")
        return counts[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.counts})

    def as_dict(self) -> dict[str, int]:
        """The counters by name, in the library's order."""
        return dict(self.counts)

    def since(self, before: SessionStats) -> dict[str, int]:
        """What was done after `before`; of a counter that tells how things are, how they are now."""
        return {
            counter.name: self.counts[counter.name] - (before.counts[counter.name] if counter.is_sum else 0)
            for counter in facts.counters()
        }

    @property
    def reading(self) -> str | None:
        """How the weights are read: "direct" or "buffered"; None while that is not decided."""
        return READ_MODES.get(self.read_mode)


def session_stats(session_id: str) -> SessionStats:
    """Return the counters of the session that was given this `session_id` option; LpcError if there is none."""
    names = [counter.name for counter in facts.counters()]
    return SessionStats(dict(zip(names, native.session_counters(session_id, len(names)), strict=True)))


def get_ep_name() -> str:
    """Name of the execution provider, as onnxruntime and onnxruntime-genai know it."""
    return _EP_NAME


def get_library_path() -> str:
    """Path of the library that is the provider, the custom ops and the C API in one.

    Raises RuntimeUnavailableError if it is not there.
    """
    return str(native.library_path())


def register() -> None:
    """Make the provider known to this process's onnxruntime. Further calls do nothing; any thread may call it.

    Raises RuntimeUnavailableError if onnxruntime or the library is missing, too old or cannot be loaded.
    """
    ort = import_onnxruntime()
    library = get_library_path()
    with _lock:
        if _devices(ort):
            return
        try:
            ort.register_execution_provider_library(_EP_NAME, library)
        except Exception as error:  # onnxruntime's exceptions have no base class of their own
            raise _cannot_load(library, ort, error) from error


def register_custom_ops(options: Any) -> None:
    """Make the `lpc` operators and their fallback kernels known to `options`, an onnxruntime SessionOptions.

    Call it before the provider is added: onnxruntime 1.23 refuses the other order. Raises RuntimeUnavailableError.
    """
    ort = import_onnxruntime()
    library = get_library_path()
    try:
        options.register_custom_ops_library(library)
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise _cannot_load(library, ort, error) from error


def brings_custom_ops(ort: Any) -> bool:
    """True if the provider hands its operators to this onnxruntime itself, which from 1.24 on asks for them."""
    return tuple(int(part) for part in ort.__version__.split(".")[:2]) >= (1, 24)


def devices() -> list[Any]:
    """Register the provider and return its onnxruntime devices (OrtEpDevice), as `add_provider_for_devices` wants them.

    Raises RuntimeUnavailableError if there is none.
    """
    register()
    ort = import_onnxruntime()
    found = _devices(ort)
    if not found:
        raise RuntimeUnavailableError(
            f"{get_library_path()}: registered, but onnxruntime {ort.__version__} offers no device of {_EP_NAME}; "
            "use plain onnxruntime (provider cpu)"
        )
    return found[:1]


def import_onnxruntime() -> Any:
    """Return the onnxruntime module; raises RuntimeUnavailableError if it is missing or older than 1.23.1."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnavailableError(f"onnxruntime cannot be imported ({error}); {_install_hint()}") from error
    check_version(onnxruntime.__version__)
    fork.let_children_end()
    return onnxruntime


def check_version(version: str) -> None:
    """Raise RuntimeUnavailableError if onnxruntime `version` ("1.23.2") has no working plugin providers."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None or tuple(int(part or 0) for part in match.groups()) < MINIMUM_ONNXRUNTIME:
        minimum = ".".join(map(str, MINIMUM_ONNXRUNTIME))
        raise RuntimeUnavailableError(
            f"onnxruntime {version} is too old: execution provider plugins work from {minimum} on; {_install_hint()}"
        )


def _install_hint() -> str:
    return f'install it with `pip install -U "onnxruntime>={".".join(map(str, MINIMUM_ONNXRUNTIME))}"`'


def _cannot_load(library: str, ort: Any, error: Exception) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(
        f"{library}: onnxruntime {ort.__version__} cannot load it ({error}); "
        "reinstall lpc-edge-runtime for this machine"
    )


def _devices(ort: Any) -> list[Any]:
    return [device for device in ort.get_ep_devices() if device.ep_name == _EP_NAME]
