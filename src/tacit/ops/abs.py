"""abs: the magnitude."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.graph import Node
from tacit.ir.source import Step, needs_value
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "onnx", "place", "shape"]


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x."""
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """|x|."""
    return np.abs(x)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """The gate of ReLU with slopes -1 and 1."""
    return p.kink(sites[0], node.id, node.inputs[0], (-1, 1))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x


def _abs(x: Any) -> Step:
    return Step("abs", (needs_value(x, "the input of a magnitude"),), {})


aten = {"aten.abs.default": _abs, "aten.abs_.default": _abs}
onnx = {"Abs": _abs}
