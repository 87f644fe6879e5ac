"""The machine that this runs on: its profile applied, its speeds measured, its memory and limits.

Knows nothing of a model that is loaded, nor of who asks.
"""
