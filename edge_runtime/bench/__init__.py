"""Measuring models, codecs and kernels: workers, telemetry, statistics, results and the page that shows them.

Knows no command and no remote board.
"""
