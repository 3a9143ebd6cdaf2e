"""torch -> ONNX, in a process and a folder that no job ever sees."""
