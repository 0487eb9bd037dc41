"""smooth: one of a list of smooth functions of every element, within a stated error; sigmoid, tanh, GELU and others."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction
from tacit.ir.curves import Curve, curve
from tacit.ir.graph import Node
from tacit.ir.source import Step, Unsupported, literal, needs_value, polynomial
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "extent", "onnx", "place", "shape"]

#: What roundings may add to a bound.
_MORE = 65 / 64


def _read(attrs: Attrs) -> tuple[Curve, Fraction | None]:
    """The attribute `function`, and `low`, a positive number that arguments do not fall below, where it is given."""
    low = fraction(attrs["low"], "low") if "low" in attrs else None
    if low is not None and low <= 0:
        raise InvalidInput(f"the lowest argument must be positive, not {low}")
    return curve(attrs.get("function")), low


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x. Raises InvalidInput."""
    _read(attrs)
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The function."""
    with np.errstate(all="ignore"):
        return _read(attrs)[0].function(x)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """One opening and one spline: two one-way steps."""
    _, low = _read(node.attrs)
    return p.smooth(sites[0], node.id, node.inputs[0], str(node.attrs["function"]), low)


def extent(attrs: Attrs, x: Shape) -> float | None:
    """The function's own bound, if it has one."""
    f, low = _read(attrs)
    if f.falling and low is not None:
        return float(f.function(np.array(float(low)))) * _MORE
    return f.extent


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The function's own bound, or what it can grow to."""
    f, _ = _read(attrs)
    own = extent(attrs, ())
    if own is None and f.falling:
        raise InvalidInput("the function grows without limit towards zero, and no lowest argument is known")
    return f.growth(x) if own is None else own


def _unary(name: str) -> Callable[..., Step]:
    def adapter(x: Any) -> Step:
        return Step("smooth", (needs_value(x, "an activation's input"),), {"function": name})

    return adapter


def _gelu(x: Any, approximate: str = "none") -> Step:
    return _unary("gelu_tanh" if approximate == "tanh" else "gelu")(x)


def _only(number: Any, wanted: float, what: str) -> None:
    if literal(number) != wanted:
        raise Unsupported("not yet", f"an activation with {what} other than {wanted:g}", f"Use {wanted:g}.")


def _silu(x: Any, inplace: bool = False) -> Step:
    return _unary("silu")(x)


def _softplus(x: Any, beta: Any = 1, threshold: Any = 20) -> Step:
    _only(beta, 1, "beta")
    return _unary("softplus")(x)


def _log_sigmoid(x: Any) -> Step:
    """-softplus(-x)."""
    value = needs_value(x, "an activation's input")
    return polynomial(Step("smooth", (polynomial(value, 0, -1),), {"function": "softplus"}), 0, -1)


def _elu(x: Any, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Step:
    for number, what in ((alpha, "alpha"), (scale, "scale"), (input_scale, "input scale")):
        _only(number, 1, what)
    return _unary("elu")(x)


def _onnx_swish(x: Any, alpha: Any = 1) -> Step:
    _only(alpha, 1, "alpha")
    return _unary("silu")(x)


aten = {
    **{
        f"aten.{name}{place}.default": _unary(name)
        for name in ["sigmoid", "tanh", "hardswish", "mish", "selu", "erf", "exp", "log", "reciprocal", "rsqrt", "sqrt"]
        for place in ("", "_")
    },
    "aten.gelu.default": _gelu,
    "aten.silu.default": _silu,
    "aten.silu_.default": _silu,
    "aten.softplus.default": _softplus,
    "aten.log_sigmoid.default": _log_sigmoid,
    "aten.elu.default": _elu,
    "aten.elu_.default": _elu,
}
onnx = {
    **{
        name: _unary(name.lower())
        for name in ["Sigmoid", "Tanh", "Mish", "Softplus", "HardSwish", "Erf", "Exp", "Log", "Reciprocal", "Sqrt"]
    },
    "Gelu": _gelu,
    "Elu": _elu,
    "Swish": _onnx_swish,
}
