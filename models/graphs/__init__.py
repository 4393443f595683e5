"""Published graphs are rewritten for onnxruntime, and kept prepared."""
