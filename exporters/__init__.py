"""From a checkpoint to a standard ONNX graph with losslessly compressed weights.

`exporters.export.export(model, out)` does what the command `lpc-export` does.
"""

from __future__ import annotations

__version__ = "0.1.0"
