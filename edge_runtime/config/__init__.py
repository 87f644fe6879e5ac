"""What a model's configuration says of its shape: keys and their bounds, heads, positions, layers, bits of a weight.

Knows nothing of onnx, of graphs, or of an exported folder: exporters and plans both stand on it.
"""
