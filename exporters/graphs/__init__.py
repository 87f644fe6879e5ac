"""ONNX graphs whose large weights become blobs: our own, and those of other tools. Knows nothing of model families, and
not where the weights come from."""
