"""Boards at a distance, over SSH: put runtime and model there, let `lpc-bench run` measure, bring the result back.

`board/` is all that runs on the board before our wheel is there; it needs nothing but Python 3.10.
"""
