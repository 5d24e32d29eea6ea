"""The text encoder as an ONNX file, float32 or int8: smaller, faster, without torch."""
