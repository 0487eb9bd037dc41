"""affine: a product with one trained number per channel, and an offset.

What a batch norm is when it cannot be folded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, weight_shape
from tacit.ir.attrs import axis as axis_of
from tacit.ir.graph import Node
from tacit.ir.source import Constant, Step, Unsupported, Value
from tacit.secure import basis
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "place", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x; gain and offset are [C] for C the size of x along `axis`. Raises InvalidInput."""
    along = axis_of(attrs, "axis", len(x))
    for name in ("gain", *(["offset"] if "offset" in weights else [])):
        if weight_shape(weights, name, 1) != (x[along],):
            raise InvalidInput(f"affine along axis {along} of {x} has a {name} of shape {weights[name]}")
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """gain * x + offset."""
    along = axis_of(attrs, "axis", x.ndim)
    across = (-1, *(1,) * (x.ndim - along - 1))
    y = x * weights["gain"].reshape(across)
    return y + weights["offset"].reshape(across) if "offset" in weights else y


def lower(s: Session, x: Share) -> Share:
    """The server's product with its gains."""
    return basis.product(s, x)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """One product with the server's weights."""
    return p.linear(node, sites[0])


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The largest gain times the input's bound, and the offset."""
    gain = np.abs(weights["gain"])
    offset = np.abs(weights["offset"]) if "offset" in weights else np.zeros_like(gain)
    return float((gain * x + offset).max(initial=0.0))


def _batch_norm(x: Any, weight: Any, bias: Any, mean: Any, variance: Any, eps: float) -> Step:
    """gain = weight / sqrt(variance + eps), offset = bias - mean * gain, in float64."""
    if not isinstance(x, Value) or any(isinstance(w, Value) for w in (weight, bias, mean, variance)):
        raise Unsupported("not yet", "a batch norm whose statistics are computed", "Use stored statistics.")
    if mean is None or variance is None:
        raise Unsupported(
            "replace",
            "a batch norm without stored statistics",
            "Train with track_running_stats=True; statistics of the batch would mix the queries.",
        )
    gain = 1 / np.sqrt(variance.array.astype(np.float64) + eps)
    gain = gain if weight is None else gain * weight.array
    offset = -mean.array * gain
    offset = offset if bias is None else offset + bias.array
    return Step("affine", (x,), {"axis": 1}, {"gain": Constant(gain), "offset": Constant(offset)})


def _aten_legit(x: Any, weight: Any, bias: Any, mean: Any, variance: Any, momentum: float, eps: float) -> Step:
    return _batch_norm(x, weight, bias, mean, variance, eps)


def _aten(
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Step:
    return _batch_norm(x, weight, bias, None if training else mean, variance, eps)


def _onnx(
    x: Any,
    scale: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Step:
    return _batch_norm(x, scale, bias, None if training_mode else mean, variance, epsilon)


aten = {"aten._native_batch_norm_legit_no_training.default": _aten_legit, "aten.batch_norm.default": _aten}
onnx = {"BatchNormalization": _onnx}
