"""ONNX graphs: published ones are optimised for onnxruntime and cached."""
