"""The commands: options, one fence for errors, one display of progress, texts for people.

Stands on all other rooms, and none of them knows it.
"""
