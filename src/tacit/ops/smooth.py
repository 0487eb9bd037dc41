"""smooth: one of a list of smooth functions of every element, within a stated error; sigmoid, tanh, GELU and others,
and what is composed of them: softmax, norms, attention.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import log
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir import norms
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, fraction
from tacit.ir.composed import attention, log_softmax, log_sum, shared_heads, softmax
from tacit.ir.curves import Curve, curve
from tacit.ir.expr import Expr
from tacit.ir.graph import Attr, Node
from tacit.ir.source import Step, Unsupported, Value, literal, needs_value, polynomial, wrap_axis
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "extent", "onnx", "place", "shape"]

#: What roundings may add to a bound.
_MORE = 65 / 64
#: The slopes of SELU (Klambauer and others, NIPS 2017) as ONNX gives them.
_SELU = (1.67326319217681884765625, 1.05070102214813232421875)


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


def _of(function: str, x: Value | Step, **attrs: Attr) -> Step:
    return Step("smooth", (x,), {"function": function, **attrs})


def _number(x: Any, what: str) -> Fraction:
    """A fixed number other than zero. Raises Unsupported."""
    value = literal(x)
    if not value:
        raise Unsupported("not yet", f"an activation whose {what} is no fixed number, or zero", "Use a fixed number.")
    return value


def _silu(x: Any, inplace: bool = False) -> Step:
    return _unary("silu")(x)


def _softplus(x: Any, beta: Any = 1, threshold: Any = 20) -> Step:
    """log(1 + exp(b x)) / b; what torch cuts off above its threshold is less than a billionth."""
    value, b = needs_value(x, "an activation's input"), _number(beta, "beta")
    return polynomial(_of("softplus", polynomial(value, 0, b)), 0, 1 / b)


def _log_sigmoid(x: Any) -> Step:
    """-softplus(-x)."""
    value = needs_value(x, "an activation's input")
    return polynomial(_of("softplus", polynomial(value, 0, -1)), 0, -1)


def _bent(x: Any, a: Fraction, s: Fraction, c: Fraction) -> Step:
    """s max(x, 0) + s a (exp(c min(x, 0)) - 1) = s a elu(c x) + s (1 - a c) max(x, 0), for positive c."""
    value = needs_value(x, "an activation's input")
    if c < 0:
        raise Unsupported("not yet", "an activation with a negative input scale", "Change the sign of its input.")
    bent = polynomial(_of("elu", polynomial(value, 0, c)), 0, s * a)
    if a * c == 1:
        return bent
    return Step("add", (bent, polynomial(Step("relu", (value,)), 0, s * (1 - a * c))))


def _elu(x: Any, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Step:
    return _bent(x, _number(alpha, "alpha"), _number(scale, "scale"), _number(input_scale, "input scale"))


def _celu(x: Any, alpha: Any = 1) -> Step:
    a = _number(alpha, "alpha")
    return _bent(x, a, Fraction(1), 1 / a)


def _onnx_selu(x: Any, *, alpha: float = _SELU[0], gamma: float = _SELU[1]) -> Step:
    usual = np.allclose((alpha, gamma), _SELU, rtol=1e-6, atol=0)
    return _unary("selu")(x) if usual else _elu(x, alpha, gamma)


def _onnx_swish(x: Any, *, alpha: Any = 1) -> Step:
    """x sigmoid(a x)."""
    value, a = needs_value(x, "an activation's input"), _number(alpha, "alpha")
    return polynomial(_of("silu", polynomial(value, 0, a)), 0, 1 / a)


def _softsign(x: Any) -> Step:
    """x / (1 + |x|)."""
    value = needs_value(x, "an activation's input")
    size = polynomial(Step("abs", (value,)), 1, 1)
    return Step("mul", (value, _of("reciprocal", size, low="1/2")))


def _glu(x: Any, dim: int = -1) -> Step:
    """The first half along an axis times the sigmoid of the second."""
    whole = Expr.of(needs_value(x, "an activation's input"))
    along = wrap_axis(dim, len(whole.shape))
    half = whole.shape[along] // 2
    first, second = whole.take(along, range(half)), whole.take(along, range(half, 2 * half))
    return Step("mul", (first.tree, _of("sigmoid", second.tree)))


def _shifted(function: str, before: int = 0, after: int = 0, factor: float = 1.0) -> Callable[..., Step]:
    """factor f(x + before) + after."""

    def adapter(x: Any) -> Step:
        value = needs_value(x, "a function's input")
        return polynomial(
            _of(function, polynomial(value, before, 1)), after, Fraction(factor).limit_denominator(1 << 32)
        )

    return adapter


def _softmax(x: Any, dim: Any, half_to_float: Any = None, *, dtype: Any = None) -> Step:
    value = needs_value(x, "a softmax's input")
    return softmax(value, value.shape, wrap_axis(int(dim), len(value.shape)))


def _log_softmax(x: Any, dim: Any, half_to_float: Any = None, *, dtype: Any = None) -> Step:
    value = needs_value(x, "a softmax's input")
    return log_softmax(value, value.shape, wrap_axis(int(dim), len(value.shape)))


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
    if literal(dropout_p) != 0 or isinstance(attn_mask, Value):
        what = "an attention with dropout, or with a mask that is computed"
        raise Unsupported("not yet", what, "Use evaluation mode, and a constant mask.")
    queries, keys, values = (needs_value(x, "an attention's input") for x in (q, k, v))
    others = [shared_heads(queries, x) if enable_gqa else Expr.of(x) for x in (keys, values)]
    return attention(Expr.of(queries), others[0], others[1], attn_mask, is_causal, scale)


def _flash(
    q: Any, k: Any, v: Any, dropout_p: Any = 0.0, is_causal: bool = False, *, attn_mask: Any = None, scale: Any = None
) -> tuple[Step]:
    """The same as torch writes it for the processor; its second output is for training."""
    return (_attention(q, k, v, attn_mask, dropout_p, is_causal, scale),)


def _logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Value | Step:
    whole = Expr.of(needs_value(x, "the input of a logarithm of sums"))
    axes = sorted({wrap_axis(int(d), len(whole.shape)) for d in ([dim] if isinstance(dim, int) else dim)})
    if axes == list(range(axes[0], axes[-1] + 1)) and axes[0] > 0:
        flat = whole.reshape(*whole.shape[: axes[0]], -1, *whole.shape[axes[-1] + 1 :])
        made = Expr(log_sum(flat.tree, flat.shape, axes[0]), (*flat.shape[: axes[0]], 1, *flat.shape[axes[0] + 1 :]))
        kept = [1 if a in axes else size for a, size in enumerate(whole.shape)]
        return made.reshape(*(size for a, size in enumerate(kept) if keepdim or a not in axes)).tree
    raise Unsupported("not yet", "a logarithm of sums over the batch or over axes apart", "Take neighbouring axes.")


def _onnx_softmax(x: Any, axis: int = -1) -> Step:
    return _softmax(x, axis)


def _onnx_log_softmax(x: Any, axis: int = -1) -> Step:
    return _log_softmax(x, axis)


aten = {
    "aten.softmax.int": _softmax,
    "aten._softmax.default": _softmax,
    "aten.log_softmax.int": _log_softmax,
    "aten._log_softmax.default": _log_softmax,
    "aten._safe_softmax.default": _softmax,
    "aten.logsumexp.default": _logsumexp,
    "aten.layer_norm.default": norms.layer_norm,
    "aten.native_layer_norm.default": norms.native_layer_norm,
    "aten.rms_norm.default": norms.rms_norm,
    "aten.group_norm.default": norms.group_norm,
    "aten.native_group_norm.default": norms.native_group_norm,
    "aten.instance_norm.default": norms.instance_norm,
    "aten.scaled_dot_product_attention.default": _attention,
    "aten._scaled_dot_product_flash_attention_for_cpu.default": _flash,
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
    **{
        f"aten.{name}.default": rule
        for name, rule in [("elu", _elu), ("elu_", _elu), ("celu", _celu), ("celu_", _celu)]
    },
    "aten.glu.default": _glu,
    "aten.expm1.default": _shifted("exp", after=-1),
    "aten.log1p.default": _shifted("log", before=1),
    "aten.log2.default": _shifted("log", factor=1 / log(2)),
    "aten.log10.default": _shifted("log", factor=1 / log(10)),
}
onnx = {
    "Softmax": _onnx_softmax,
    "LogSoftmax": _onnx_log_softmax,
    "LayerNormalization": norms.onnx_layer_norm,
    "RMSNormalization": norms.onnx_rms_norm,
    "GroupNormalization": norms.onnx_group_norm,
    "InstanceNormalization": norms.onnx_instance_norm,
    **{
        name: _unary(name.lower())
        for name in ["Sigmoid", "Tanh", "Mish", "Softplus", "HardSwish", "Erf", "Exp", "Log", "Reciprocal", "Sqrt"]
    },
    "Gelu": _gelu,
    "Elu": _elu,
    "Selu": _onnx_selu,
    "Celu": _celu,
    "Softsign": _softsign,
    "Swish": _onnx_swish,
}
