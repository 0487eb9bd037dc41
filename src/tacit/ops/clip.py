"""clip: x brought into a fixed interval; ReLU6, hardtanh, and minima and maxima with a number."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction
from tacit.ir.graph import Node
from tacit.ir.source import Adapter, Constant, Step, Unsupported, literal, needs_value, polynomial
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "onnx", "place", "shape"]


def _ends(attrs: Attrs) -> tuple[Fraction | None, Fraction | None]:
    """The ends of the interval; one of them may be absent. Raises InvalidInput."""
    low, high = (fraction(attrs[end], end) if end in attrs else None for end in ("low", "high"))
    if low is None and high is None:
        raise InvalidInput("an interval needs an end")
    if low is not None and high is not None and low > high:
        raise InvalidInput(f"there is no interval from {low} to {high}")
    return low, high


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x. Raises InvalidInput."""
    _ends(attrs)
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """min(max(x, low), high)."""
    low, high = _ends(attrs)
    return np.clip(x, None if low is None else float(low), None if high is None else float(high))


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """max(x - low, 0) - max(x - high, 0) + low at one opening; an end beyond the range of x needs no test."""
    source, (low, high) = node.inputs[0], _ends(node.attrs)
    bound = Fraction(p.bound(source))
    if (low is not None and low >= bound) or (high is not None and high <= -bound):
        raise InvalidInput(f"the interval lies outside of the range of its input, which is within {float(bound):g}")
    low = None if low is not None and low <= -bound else low
    high = None if high is not None and high >= bound else high
    if low is None and high is None:
        return sites[0]
    if low is None:
        assert high is not None
        gates = p.kink(sites[0], node.id, source, (1, 0), knots=(high,))
        return _plus(p, node, p.emit("combine", (gates,), node.id, {"factors": [1]}), high)
    if high is None and low == 0:
        return p.kink(sites[0], node.id, source)
    knots = (low,) if high is None else (low, high)
    gates = p.kink(sites[0], node.id, source, knots=knots)
    return _plus(p, node, p.emit("combine", (gates,), node.id, {"factors": [1, -1][: len(knots)]}), low)


def _plus(p: Placer, node: Node, site: int, value: Fraction) -> int:
    return p.emit("plus", (site,), node.id, {"value": str(value)}) if value else site


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The larger end, if both are there and smaller than the input's bound."""
    low, high = _ends(attrs)
    if low is None or high is None:
        return max(x, *(abs(float(end)) for end in (low, high) if end is not None))
    return max(abs(float(low)), abs(float(high)))


def _clip(x: Any, min: Any = None, max: Any = None) -> Step:  # noqa: A002 - names that the source uses
    attrs = {}
    for name, end in (("low", min), ("high", max)):
        if end is None:
            continue
        number = literal(end)
        if number is None:
            raise Unsupported("not yet", "an interval whose ends are tensors", "Use fixed numbers.")
        attrs[name] = str(number)
    value = needs_value(x, "the input of a clip")
    return Step("clip", (value,), attrs) if attrs else polynomial(value, 0, 1)


def _relu6(x: Any, inplace: bool = False) -> Step:
    return _clip(x, 0, 6)


def _hardtanh(x: Any, min_val: Any = -1, max_val: Any = 1, inplace: bool = False) -> Step:
    return _clip(x, min_val, max_val)


def _at_least(x: Any, min: Any) -> Step:  # noqa: A002
    return _clip(x, min)


def _at_most(x: Any, max: Any) -> Step:  # noqa: A002
    return _clip(x, None, max)


def _hardsigmoid(x: Any, inplace: bool = False) -> Step:
    """clip(x / 6 + 1 / 2, 0, 1)."""
    value = needs_value(x, "an activation's input")
    return Step("clip", (polynomial(value, Fraction(1, 2), Fraction(1, 6)),), {"low": "0", "high": "1"})


def _onnx_hardsigmoid(x: Any, *, alpha: float = 0.2, beta: float = 0.5) -> Step:
    """clip(a x + b, 0, 1); a slope that single precision writes for a sixth is a sixth."""
    slope, value = Fraction(str(alpha)), needs_value(x, "an activation's input")
    near = slope.limit_denominator(64)
    slope = near if np.float32(near) == np.float32(alpha) else slope
    return Step("clip", (polynomial(value, Fraction(str(beta)), slope),), {"low": "0", "high": "1"})


def _onnx_clip(x: Any, min: Any = None, max: Any = None) -> Step:  # noqa: A002
    """Ends are structure, wherever a file stores them."""
    ends = (Constant(end.array, trained=False) if isinstance(end, Constant) else end for end in (min, max))
    return _clip(x, *ends)


aten = {
    "aten.clamp.default": _clip,
    "aten.clamp_.default": _clip,
    "aten.clamp_min.default": _at_least,
    "aten.clamp_max.default": _at_most,
    "aten.relu6.default": _relu6,
    "aten.relu6_.default": _relu6,
    "aten.hardtanh.default": _hardtanh,
    "aten.hardtanh_.default": _hardtanh,
    "aten.hardsigmoid.default": _hardsigmoid,
}
onnx: Mapping[str, Adapter] = {"Clip": _onnx_clip, "HardSigmoid": _onnx_hardsigmoid}
