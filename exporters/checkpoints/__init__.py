"""What others wrote: safetensors, GGUF and ONNX weights, config.json's folder, tokenizers, the Hub. Every file is
checked before it is believed. Knows nothing of graphs, or of what is written."""
