"""input: what the client brings; its shape is the example's."""

from __future__ import annotations

from collections.abc import Mapping

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.source import Adapter

__all__ = ["aten", "clear", "onnx", "shape"]

aten: Mapping[str, Adapter] = {}
onnx: Mapping[str, Adapter] = {}


def shape(attrs: Attrs, given: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape that the example has, unchanged."""
    return given


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x itself."""
    return x
