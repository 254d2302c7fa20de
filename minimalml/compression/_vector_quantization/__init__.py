"""Vector quantization: the idea in one line."""
