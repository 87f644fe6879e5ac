"""Models of the Hugging Face Hub by name, through the optional package huggingface_hub."""

from __future__ import annotations

import re
from pathlib import Path

from edge_runtime.errors import ExportError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
_PATTERNS = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt")
_LEFT_OUT = ("*/*", "consolidated*", "adapter_*")  # the same weights in other forms, and what is merged first


def is_name(text: str) -> bool:
    """Tell whether `text` can be a model's name on the Hub, such as Qwen/Qwen3-0.6B or Qwen/Qwen3-0.6B@main."""
    return _NAME.fullmatch(text) is not None


def fetch(name: str) -> Path:
    """Return the folder of a model, fetched into the Hub's own cache; what was fetched before is not fetched again.

    ExportError if huggingface_hub is not installed, or the model cannot be had: no such model, no access, offline.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise ExportError(
            f"{name}: no such file or folder; to fetch a model of that name from the Hugging Face Hub, install "
            "huggingface_hub: pip install 'lpc-edge-runtime[hub]'"
        ) from None
    repository, _, revision = name.partition("@")
    try:
        folder = huggingface_hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=list(_PATTERNS), ignore_patterns=list(_LEFT_OUT)
        )
    except Exception as error:  # its errors have no base class of their own: requests, OSError, ValueError
        reason = " ".join(str(error).split())[:300]
        raise ExportError(
            f"{name}: no such file or folder, and the Hugging Face Hub did not give it "
            f"({type(error).__name__}: {reason}); check the name, the network (offline?) and `hf auth login`; what was "
            "fetched so far is kept"
        ) from None
    return Path(folder)
