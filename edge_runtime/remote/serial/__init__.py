"""A board's console on a serial line: ports, prompts, commands and their answers, its network.

Knows nothing of SSH or of benchmarks.
"""
