"""leaky: x where x >= 0, a public multiple of it elsewhere."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction
from tacit.ir.graph import Node
from tacit.ir.source import Constant, Step, Unsupported, literal, needs_constant, needs_value
from tacit.secure.placer import Placer

__all__ = ["SLOPE_BITS", "aten", "bound", "clear", "onnx", "place", "shape"]

#: Fraction bits of the slope; the result is finer than other activations by as many.
SLOPE_BITS = 12
_MOST = 64


def _slope(attrs: Attrs) -> Fraction:
    slope = fraction(attrs.get("slope", ""), "slope")
    if abs(slope) > _MOST:
        raise InvalidInput(f"the slope {slope} is beyond {_MOST}")
    return slope


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x. Raises InvalidInput for a slope that is no rational up to 64."""
    _slope(attrs)
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x, times the slope where it is negative."""
    return np.where(x < 0, x * float(_slope(attrs)), x)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """The gate of ReLU with two slopes, as integers over 2^SLOPE_BITS, or fewer if that is exact."""
    slope, bits = _slope(node.attrs), 0
    while bits < SLOPE_BITS and (slope * (1 << bits)).denominator != 1:
        bits += 1
    return p.kink(sites[0], node.id, node.inputs[0], (round(slope * (1 << bits)), 1 << bits))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound times the larger slope."""
    return x * max(1.0, abs(float(_slope(attrs))))


def _leaky(x: Any, negative_slope: Any = 0.01, inplace: bool = False) -> Step:
    slope = literal(negative_slope)
    if slope is None or abs(slope) > _MOST:
        raise Unsupported("not yet", "a slope that is not a number up to 64", "Use a fixed slope.")
    return Step("leaky", (needs_value(x, "an activation's input"),), {"slope": str(slope)})


def _onnx_leaky(x: Any, alpha: Any = 0.01) -> Step:
    return _leaky(x, alpha)


def _prelu(x: Any, slope: Any) -> Step:
    """relu(x) - slope relu(-x), where relu(-x) is relu(x) - x: one gate and one product with the trained slopes."""
    value, constant = needs_value(x, "an activation's input"), needs_constant(slope)
    if literal(constant) is not None:
        return _leaky(value, constant)
    channels = value.shape[1] if len(value.shape) > 1 else 1
    flat = constant.array.reshape(-1)
    if flat.size not in (1, channels) or (
        constant.array.ndim > 1 and constant.array.shape[-len(value.shape) + 1] != flat.size
    ):
        raise Unsupported("not yet", f"slopes of shape {constant.array.shape}", "Use one slope a channel.")
    gain = Constant(np.broadcast_to(-flat, (channels,)), trained=constant.trained)
    positive = Step("relu", (value,))
    negative = Step("affine", (Step("sub", (positive, value)),), {"axis": 1}, {"gain": gain})
    return Step("add", (positive, negative))


aten = {"aten.leaky_relu.default": _leaky, "aten.leaky_relu_.default": _leaky, "aten.prelu.default": _prelu}
onnx = {"LeakyRelu": _onnx_leaky, "PRelu": _prelu}
