"""What a model's `config.json` says of its shape.

Knows nothing of onnx, of graphs, or of an exported folder: exporters and plans both stand on it.
"""
