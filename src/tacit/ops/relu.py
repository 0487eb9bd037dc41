"""relu: max(x, 0)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.graph import Node
from tacit.ir.source import Step, needs_value
from tacit.secure import basis
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "evaluates", "lower", "onnx", "place", "shape", "words"]

#: What a protocol must have beyond the words that all share.
words = ("relu",)
#: Its operand is opened, and its result is in a ring of its own.
evaluates = True


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x."""
    return x


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """max(x, 0)."""
    return np.maximum(x, 0.0)


def lower(s: Session, opened: Share) -> Share:
    """The opened value times one of two slopes, by its sign, truncated as the step says."""
    return basis.relu(s, opened)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """One opening and one gate."""
    return p.kink(sites[0], node.id, node.inputs[0])


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x


def _relu(x: Any, inplace: bool = False) -> Step:
    return Step("relu", (needs_value(x, "a ReLU's input"),), {})


aten = {"aten.relu.default": _relu, "aten.relu_.default": _relu}
onnx = {"Relu": _relu}
