"""topk: the positions of the k largest of the last axis, largest first; equal ones in their order."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integer
from tacit.ir.graph import Node
from tacit.ir.source import Step, Unsupported, needs_value, wrap_axis
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "extent", "onnx", "place", "shape"]

#: The most values that are ranked: half a million comparisons a thousand, so beyond this the material is too much.
_MOST = 2048
_MAX_LABELS = 64


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[*, n] to [*, k], 1 <= k < n. Raises InvalidInput."""
    k = integer(attrs, "k", 1)
    if len(x) < 2 or not k < x[-1] <= _MOST or k > _MAX_LABELS:
        raise InvalidInput(f"the first {k} (up to {_MAX_LABELS}) of 2 to {_MOST} values, not of an array of {x}")
    return (*x[:-1], k)


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The positions, as numbers."""
    order = np.argsort(-x, axis=-1, kind="stable")
    return order[..., : integer(attrs, "k", 1)].astype(np.float64)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """All pairs are compared at once, exactly; ranks are sums of these bits; the ranks below k are looked up at one
    opening. Four one-way steps, however many values there are.
    """
    source, k, items = node.inputs[0], integer(node.attrs, "k", 1), p.wires[sites[0]].shape[-1]
    bound = 2 * p.bound(source)
    pairs = p.emit("pairs", (sites[0],), node.id, {})
    bits = p.sign_bits(p.wires[pairs].scale, bound, exact=True)
    opened = p.opened(pairs, node.id, source, bound)
    whole = {"ring": p.widest, "scale": "1"}
    ranks = p.emit("ranks", (opened,), node.id, {**whole, "items": items, "bits": bits})
    most = float(2 * items)
    knots = p.emit(
        "fan", (p.opened(ranks, node.id, source, most),), node.id, {"knots": [str(t) for t in range(1, k + 1)]}
    )
    bits = p.sign_bits(p.wires[ranks].scale, most, exact=True)
    return p.emit("labels", (knots,), node.id, {**whole, "bits": bits})


def extent(attrs: Attrs, x: Shape) -> float:
    """The number of values, whatever x is."""
    return float(x[-1])


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The largest position there can be."""
    return float(_MOST)


def _argmax(x: Any, dim: Any = None, keepdim: bool = False) -> Step:
    value = needs_value(x, "the input of an argmax")
    if dim is None or wrap_axis(int(dim), len(value.shape)) != len(value.shape) - 1 or len(value.shape) < 2:
        raise Unsupported("not yet", "an argmax along another axis than the last", "Move the axis to the end.")
    step = Step("topk", (value,), {"k": 1})
    return step if keepdim else Step("reshape", (step,), {"shape": list(value.shape[:-1])})


def _onnx_argmax(x: Any, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Step:
    if select_last_index:
        raise Unsupported("not yet", "an argmax that prefers the last of equals", "Prefer the first.")
    return _argmax(x, axis, bool(keepdims))


aten = {"aten.argmax.default": _argmax}
onnx = {"ArgMax": _onnx_argmax}
