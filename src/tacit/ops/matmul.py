"""matmul: the matrix product of two activations, batch by batch; `linear` takes those with constant weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integer
from tacit.ir.graph import Node
from tacit.ir.source import Step, matrix_product
from tacit.secure import basis
from tacit.secure.multiply import out_shape
from tacit.secure.placer import Placer
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "place", "shape", "words"]

#: What a protocol must have beyond the words that all share.
words = ("times",)


def shape(attrs: Attrs, x: Shape, y: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[*, M, K] by [*, K, N] to [*, M, N]; leading sizes of 1 are repeated. Attribute: `inner`, which is K.

    Raises InvalidInput.
    """
    out = out_shape("matmul", x, y)
    if integer(attrs, "inner", 1) != x[-1]:
        raise InvalidInput(f"matrices of shapes {x} and {y} do not have {attrs['inner']} columns and rows")
    return out


def clear(attrs: Attrs, weights: Weights, x: Doubles, y: Doubles) -> Doubles:
    """x @ y."""
    return np.asarray(x @ y)


def lower(s: Session, x: Share, y: Share) -> Share:
    """The exact product of the opened operands, at the product of their scales."""
    return basis.times(s, x, y)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """The operands opened, and one product: what is repeated is opened once."""
    x, y = p.factors(sites, node)
    return p.emit("matmul", (x, y), node.id, {})


def bound(attrs: Attrs, weights: Weights, x: float, y: float) -> float:
    """The product of the bounds, for every summand."""
    return integer(attrs, "inner", 1) * x * y


def _bmm(x: Any, y: Any) -> Step:
    return matrix_product(x, y)


aten = {"aten.bmm.default": _bmm}
onnx: dict[str, Any] = {}
