"""Measuring models, codecs and kernels: workers, telemetry, statistics, results and the page that shows them.

Knows no command and no remote board.
"""

from __future__ import annotations

from edge_runtime.bench.result_file import load_result, save_result
from edge_runtime.bench.results import Repetition, Result, Test

__all__ = ["Repetition", "Result", "Test", "load_result", "save_result"]
