"""Mutated inputs, each tried in a process of its own: `python -m mutate --help` (docs/security.md)."""
