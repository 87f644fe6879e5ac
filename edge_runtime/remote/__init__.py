"""Boards at a distance, over SSH: put runtime and model there, let `lpc-bench run` measure, bring the result back.

`board_side.py` is the only file that runs on the board before our wheel is there; it needs nothing but Python 3.10.
"""
