"""smooth: one of a list of smooth functions of every element, within a stated error; sigmoid, tanh, GELU and others,
and what is composed of them: softmax, norms, attention.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction
from tacit.ir.composed import attention, centred, grouped, log_softmax, scaled_to_one, softmax
from tacit.ir.curves import Curve, curve
from tacit.ir.graph import Node
from tacit.ir.source import (
    Constant,
    Step,
    Unsupported,
    Value,
    literal,
    needs_constant,
    needs_value,
    polynomial,
    wrap_axis,
)
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


def _softmax(x: Any, dim: Any, half_to_float: Any = None, *, dtype: Any = None) -> Step:
    value = needs_value(x, "a softmax's input")
    return softmax(value, value.shape, wrap_axis(int(dim), len(value.shape)))


def _log_softmax(x: Any, dim: Any, half_to_float: Any = None, *, dtype: Any = None) -> Step:
    value = needs_value(x, "a softmax's input")
    return log_softmax(value, value.shape, wrap_axis(int(dim), len(value.shape)))


def _trained(x: Step, along: int, weight: Any, bias: Any, size: int) -> Step:
    """Times a trained number for each entry of an axis, and plus one."""
    if weight is None and bias is None:
        return x
    gain = Constant(np.ones(size)) if weight is None else needs_constant(weight)
    weights = {"gain": Constant(gain.array.reshape(-1), gain.name, gain.trained)}
    if bias is not None:
        offset = needs_constant(bias)
        weights["offset"] = Constant(offset.array.reshape(-1), offset.name, offset.trained)
    return Step("affine", (x,), {"axis": along}, weights)


def _last(x: Any, shape: Any) -> Value:
    """An array that a norm takes along its last axis."""
    value = needs_value(x, "a norm's input")
    if len(shape) != 1:
        raise Unsupported("not yet", "a norm along several axes", "Flatten them, or use a group norm of one group.")
    return value


def _layer_norm(
    x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5, cudnn_enable: bool = True
) -> Step:
    value = _last(x, normalized_shape)
    along = len(value.shape) - 1
    return _trained(centred(value, value.shape, [along], eps), along, weight, bias, value.shape[-1])


def _rms_norm(x: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Step:
    value = _last(x, normalized_shape)
    along = len(value.shape) - 1
    normed = scaled_to_one(value, [along], 2.0**-23 if eps is None else eps)
    return _trained(normed, along, weight, None, value.shape[-1])


def _group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: Any = 1e-5, cudnn_enabled: bool = True
) -> Step:
    value = needs_value(x, "a norm's input")
    return _trained(grouped(value, value.shape, groups, eps), 1, weight, bias, value.shape[1])


def _instance_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    mean: Any = None,
    variance: Any = None,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: Any = 1e-5,
    cudnn_enabled: bool = True,
) -> Step:
    if not use_input_stats:
        raise Unsupported("not yet", "an instance norm with stored statistics", "Use a batch norm.")
    value = needs_value(x, "a norm's input")
    return _group_norm(value, value.shape[1], weight, bias, eps)


def _attention(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: Any = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Step:
    if literal(dropout_p) != 0 or enable_gqa or isinstance(attn_mask, Value):
        what = "an attention with dropout, with shared heads, or with a mask that is computed"
        raise Unsupported("not yet", what, "Use evaluation mode, as many heads everywhere, and a constant mask.")
    queries, keys, values = (needs_value(x, "an attention's input") for x in (q, k, v))
    return attention(queries, keys, values, attn_mask, is_causal, scale)


def _onnx_softmax(x: Any, axis: int = -1) -> Step:
    return _softmax(x, axis)


def _onnx_log_softmax(x: Any, axis: int = -1) -> Step:
    return _log_softmax(x, axis)


def _onnx_layer_norm(
    x: Any, scale: Any, bias: Any = None, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Step:
    value = needs_value(x, "a norm's input")
    return _layer_norm(value, value.shape[wrap_axis(axis, len(value.shape)) :], scale, bias, epsilon)


def _onnx_instance_norm(x: Any, scale: Any, bias: Any, epsilon: float = 1e-5) -> Step:
    return _instance_norm(x, scale, bias, eps=epsilon)


aten = {
    "aten.softmax.int": _softmax,
    "aten._softmax.default": _softmax,
    "aten.log_softmax.int": _log_softmax,
    "aten._log_softmax.default": _log_softmax,
    "aten.layer_norm.default": _layer_norm,
    "aten.rms_norm.default": _rms_norm,
    "aten.group_norm.default": _group_norm,
    "aten.instance_norm.default": _instance_norm,
    "aten.scaled_dot_product_attention.default": _attention,
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
    "Softmax": _onnx_softmax,
    "LogSoftmax": _onnx_log_softmax,
    "LayerNormalization": _onnx_layer_norm,
    "InstanceNormalization": _onnx_instance_norm,
    **{
        name: _unary(name.lower())
        for name in ["Sigmoid", "Tanh", "Mish", "Softplus", "HardSwish", "Erf", "Exp", "Log", "Reciprocal", "Sqrt"]
    },
    "Gelu": _gelu,
    "Elu": _elu,
    "Swish": _onnx_swish,
}
