"""Configurations by the thousand: random ones of every family, and published ones with edits."""
