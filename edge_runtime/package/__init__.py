"""An exported folder: its manifest, its files, their hashes, and what it says of its weights (docs/format.md).

Knows nothing of running: no session, no plan, no machine.
"""

from __future__ import annotations

from edge_runtime.package.folder import Package

__all__ = ["Package"]
