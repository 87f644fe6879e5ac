"""Our execution provider in onnxruntime: found, checked, registered once a process."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, fields
from typing import Any

from edge_runtime import fork, native
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
    """What the provider did for one session so far; the fields of `lpc_session_stats` in lpc.h."""

    nodes_claimed: int
    nodes_unclaimed: int
    runs: int
    bytes_read: int
    bytes_decoded: int
    blobs_decompressed: int
    layers_decompressed: int
    rows_fetched: int
    wait_ns: int
    read_ns: int
    decode_ns: int
    compute_ns: int
    ring_bytes: int
    pinned_bytes: int
    layer: int
    read_mode: int
    direct_bytes_per_s: int
    buffered_bytes_per_s: int
    encode_ns: int
    transcoded_from_bytes: int
    transcoded_bytes: int
    transcode_ns: int

    @property
    def reading(self) -> str | None:
        """How the weights are read: "direct" or "buffered"; None while that is not decided."""
        return READ_MODES.get(self.read_mode)


def session_stats(session_id: str) -> SessionStats:
    """Return the counters of the session that was given this `session_id` option; LpcError if there is none."""
    counters = native.session_stats(session_id)
    return SessionStats(**{field.name: getattr(counters, field.name) for field in fields(SessionStats)})


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
