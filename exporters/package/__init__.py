"""An exported folder: encoding and writing its weights, its manifest, and reading, checking and sealing it again."""
