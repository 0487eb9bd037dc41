"""exclude: entries at fixed positions replaced by a number below all others, as masks of attention mean it.

A model writes -inf, -1e9 or the least number of its type there, of which a softmax or a maximum sees nothing; a ring
has no such number, so that the entries become one that is as far below as their consumers need.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.graph import Node
from tacit.ir.positions import check_positions, positions
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "onnx", "place", "shape"]

#: How far below the others: exp(-16) is a ten-millionth.
_BELOW = 16.0


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x, to which the mask of `mask` and `mask_shape` broadcasts. Raises InvalidInput."""
    check_positions(attrs, x)
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """x where the mask is true, else a number that is 16 below the least there can be of x's magnitude."""
    return np.where(positions(attrs), x, -(float(np.abs(x).max(initial=0.0)) + _BELOW))


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """x + B kept where the mask is true, less B, for the range B of the result."""
    site, most = sites[0], str(int(np.ceil(p.bound(node.id))))
    scale = p.wires[site].scale
    if scale > 1 << p.resolution and p.bound(node.id) * scale > 1 << (p.widest - 2):
        site = p.truncated(site, node.id, node.inputs[0])
    raised = p.emit("plus", (site,), node.id, {"value": most})
    kept = p.emit("keep", (raised,), node.id, dict(node.attrs))
    return p.emit("plus", (kept,), node.id, {"value": f"-{most}"})


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound and what lies between."""
    return x + _BELOW


aten: dict[str, Any] = {}  # sums with masks, fills and choices are written in many ways: see keep, add and sub
onnx: dict[str, Any] = {}
