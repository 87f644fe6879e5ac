"""The exporter, which a board need not have: found by its entry point, named by its extra where it is missing."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.package.manifest import MANIFEST_FILE

GROUP = "lpc.exporters"
"""Entry points that take a model's name and return the folder to which they exported it."""


def exported(model: str) -> str:
    """Return the folder of `model` as it runs: itself if it is exported, else where it is exported to now.

    ConfigError if no exporter is installed, and what exporters raise; ModuleNotFoundError for a module that they need.
    """
    from importlib import metadata

    if (Path(model) / MANIFEST_FILE).exists():
        return model
    for point in metadata.entry_points(group=GROUP):
        return str(point.load()(model))
    raise ConfigError(f"{model}: no exporter is installed: pip install 'lpc-edge-runtime[export]'")
