"""Norms by the query's own statistics, as sources call them: layer, RMS, group and instance norms."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tacit.ir.composed import Tree, scaled_to_one, standardised
from tacit.ir.expr import Expr
from tacit.ir.source import Constant, Step, Unsupported, needs_constant, needs_value, wrap_axis

__all__ = [
    "group_norm",
    "instance_norm",
    "layer_norm",
    "native_group_norm",
    "native_layer_norm",
    "onnx_group_norm",
    "onnx_instance_norm",
    "onnx_layer_norm",
    "onnx_rms_norm",
    "rms_norm",
]

#: torch's epsilon where none is given: what one of single precision differs from the next number by.
_EPS = 2.0**-23


def _flat(x: Any, axes: Sequence[int]) -> Expr:
    """x with the axes that a norm is taken along, the last ones, as one. Raises Unsupported."""
    whole = Expr.of(needs_value(x, "a norm's input"))
    lead = len(whole.shape) - len(axes)
    if not axes or lead < 1 or whole.shape[lead:] != tuple(axes):
        raise Unsupported("never", f"a norm along {list(axes)} of an array of {whole.shape}", "Correct the model.")
    return whole.reshape(*whole.shape[:lead], prod(axes))


def _trained(x: Tree, along: int, weight: Any, bias: Any, size: int) -> Tree:
    """Times a trained number for each entry of an axis, and plus one."""
    if weight is None and bias is None:
        return x
    gain = Constant(np.ones(size)) if weight is None else needs_constant(weight)
    weights = {"gain": _row(gain, size)}
    if bias is not None:
        weights["offset"] = _row(needs_constant(bias), size)
    return Step("affine", (x,), {"axis": along}, weights)


def _row(given: Constant, size: int) -> Constant:
    """One number an entry. Raises Unsupported."""
    if given.array.size != size:
        raise Unsupported("never", f"a norm of {size} entries with {given.array.size} gains", "Correct the model.")
    return given if given.array.ndim == 1 else Constant(given.array.reshape(-1), given.name, given.trained)


def native_layer_norm(x: Any, axes: Sequence[int], weight: Any, bias: Any, eps: Any) -> tuple[Tree, Tree, Tree]:
    """The norm along the last axes, whose sizes are given; the means; and one over the standard deviations.

    Raises Unsupported.
    """
    value, flat = needs_value(x, "a norm's input"), _flat(x, axes)
    along = len(flat.shape) - 1
    normed, mean, inverse = standardised(flat.tree, flat.shape, [along], eps)
    scaled = Expr(_trained(normed, along, weight, bias, flat.shape[-1]), flat.shape).reshape(*value.shape)
    sizes = (*flat.shape[:-1], *(1 for _ in axes))
    rows = (Expr(part, (*flat.shape[:-1], 1)).reshape(*sizes).tree for part in (mean, inverse))
    return (scaled.tree, *rows)  # type: ignore[return-value]


def layer_norm(
    x: Any, axes: Sequence[int], weight: Any = None, bias: Any = None, eps: Any = 1e-5, cudnn_enable: bool = True
) -> Tree:
    """torch's layer_norm. Raises Unsupported."""
    return native_layer_norm(x, axes, weight, bias, eps)[0]


def rms_norm(x: Any, axes: Sequence[int], weight: Any = None, eps: Any = None) -> Tree:
    """torch's rms_norm: over the root of the mean square along the last axes. Raises Unsupported."""
    flat = _flat(x, axes)
    along = len(flat.shape) - 1
    normed = scaled_to_one(flat.tree, [along], _EPS if eps is None else eps)
    return Expr(_trained(normed, along, weight, None, flat.shape[-1]), flat.shape).reshape(*x.shape).tree


def group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: Any = 1e-5, cudnn_enabled: bool = True
) -> Tree:
    """torch's group_norm of [N, C, ...]. Raises Unsupported."""
    return _grouped(x, groups, weight, bias, eps)[0]


def _grouped(x: Any, groups: int, weight: Any, bias: Any, eps: Any) -> tuple[Tree, Tree, Tree]:
    """The norm, and the means and inverse deviations of the groups, [N, groups]."""
    whole = Expr.of(needs_value(x, "a norm's input"))
    shape = whole.shape
    if len(shape) < 2 or groups < 1 or shape[1] % groups:
        raise Unsupported("never", f"{groups} groups of channels of an array of shape {shape}", "Correct the model.")
    split = whole.reshape(shape[0], groups, -1)
    normed, mean, inverse = standardised(split.tree, split.shape, [2], eps)
    joint = Expr(normed, split.shape).reshape(*shape).tree
    flat = [Expr(part, (shape[0], groups, 1)).reshape(shape[0], groups).tree for part in (mean, inverse)]
    return _trained(joint, 1, weight, bias, shape[1]), flat[0], flat[1]


def native_group_norm(
    x: Any, weight: Any, bias: Any, batch: int, channels: int, pixels: int, groups: int, eps: Any
) -> tuple[Tree, Tree, Tree]:
    """torch's native_group_norm: the norm, the means and one over the standard deviations. Raises Unsupported."""
    return _grouped(x, groups, weight, bias, eps)


def instance_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    mean: Any = None,
    variance: Any = None,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: Any = 1e-5,
    cudnn_enabled: bool = True,
) -> Tree:
    """torch's instance_norm by each channel's own statistics. Raises Unsupported."""
    if not use_input_stats:
        raise Unsupported("not yet", "an instance norm with stored statistics", "Use a batch norm.")
    return group_norm(x, needs_value(x, "a norm's input").shape[1], weight, bias, eps)


def _from(x: Any, axis: int) -> tuple[int, ...]:
    value = needs_value(x, "a norm's input")
    return value.shape[wrap_axis(axis, len(value.shape)) :]


def onnx_layer_norm(
    x: Any, scale: Any, bias: Any = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> tuple[Tree, Tree, Tree]:
    """ONNX's LayerNormalization along `axis` and those behind it. Raises Unsupported."""
    return native_layer_norm(x, _from(x, axis), scale, bias, epsilon)


def onnx_rms_norm(x: Any, scale: Any, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Tree:
    """ONNX's RMSNormalization along `axis` and those behind it. Raises Unsupported."""
    return rms_norm(x, _from(x, axis), scale, epsilon)


def onnx_group_norm(
    x: Any, scale: Any, bias: Any, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Tree:
    """ONNX's GroupNormalization, from opset 21 on, with one gain a channel. Raises Unsupported."""
    return group_norm(x, num_groups, scale, bias, epsilon)


def onnx_instance_norm(x: Any, scale: Any, bias: Any, *, epsilon: float = 1e-5) -> Tree:
    """ONNX's InstanceNormalization. Raises Unsupported."""
    return instance_norm(x, scale, bias, eps=epsilon)
