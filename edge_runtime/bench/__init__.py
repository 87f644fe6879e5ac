"""Benchmarks of exported models: measure, save with everything needed to judge the figures, compare, show.

One module a subcommand of `lpc-bench`; the table of them is in `edge_runtime.cli.bench`.
"""
