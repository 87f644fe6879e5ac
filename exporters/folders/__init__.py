"""Places on the disk: folders that exports work in, and how a finished one takes its place. Knows no weights."""
