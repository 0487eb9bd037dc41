"""Importers: from PyTorch and ONNX models to Graphs, and the meaning of a Graph in plain numbers."""
