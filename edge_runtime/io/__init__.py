"""What comes in from others and goes out to people: files, JSON, names, streams; what is read is bounded, what is shown
is printable.

Knows nothing of models, boards or commands.
"""
