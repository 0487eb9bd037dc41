"""Activations that are cheap to compute privately, as PyTorch layers: polynomials, and ReLU with faults."""
