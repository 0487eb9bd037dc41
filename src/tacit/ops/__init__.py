"""What to compute: one module per operation, found by listing this folder.

Each module offers `shape` (checked), `clear` (its meaning in float64), and the tables `aten` and `onnx` of the source
operations it comes from. It says how it runs in secret by `lower`, by `place`, or both:

    lower       one step of its own name, as a program in words of `secure.basis`
    place       (Placer, node, sites) -> site: the steps that the planner writes for it; one step of its name if absent
    words       names of protocol kernels that its step needs beyond the common ones
    evaluates   True if its step reads opened values and makes a wire in a ring of its own
    extent      (attrs, *shapes) -> float: a bound of its magnitude that holds whatever its inputs are

Adding an operation is adding a file.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Literal, Protocol, cast

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights
from tacit.ir.source import Adapter
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["Op", "adapters", "infer", "load", "names"]


class Op(Protocol):
    """What every module of this folder offers."""

    aten: Mapping[str, Adapter]
    onnx: Mapping[str, Adapter]

    def shape(self, attrs: Attrs, *inputs: Shape, weights: Shapes = NO_WEIGHTS) -> Shape:
        """The output's shape, batch first. Raises InvalidInput for attributes, inputs or weights that do not fit."""

    def clear(self, attrs: Attrs, weights: Weights, *inputs: Doubles) -> Doubles:
        """The output in float64, for inputs and attributes that `shape` accepts."""

    def lower(self, s: Session, *inputs: Share) -> Share:
        """The secure program, in words of `secure.basis`: one for all protocols and readings."""

    def bound(self, attrs: Attrs, weights: Weights, *inputs: float) -> float:
        """A bound of the output's magnitude for inputs within these bounds."""


@cache
def names() -> frozenset[str]:
    """The names of all operations."""
    return frozenset(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Op:
    """The operation `name`. Raises InvalidInput when there is none."""
    if name not in names():
        raise InvalidInput(f"there is no operation {name[:40]!r}; the operations are {', '.join(sorted(names()))}")
    return cast(Op, import_module(f"{__name__}.{name}"))


def infer(name: str, attrs: Attrs, inputs: tuple[Shape, ...], weights: Shapes = NO_WEIGHTS) -> Shape:
    """The output's shape of the operation `name`, with the number of inputs checked too. Raises InvalidInput."""
    op = load(name)
    try:
        inspect.signature(op.shape).bind(attrs, *inputs, weights=weights)
    except TypeError:
        raise InvalidInput(f"operation {name!r} does not take {len(inputs)} inputs") from None
    return op.shape(attrs, *inputs, weights=weights)


@cache
def adapters(source: Literal["aten", "onnx"]) -> Mapping[str, Adapter]:
    """The adapters of every operation by source name. Raises ValueError when two operations claim one name."""
    table: dict[str, Adapter] = {}
    for name in sorted(names()):
        op = load(name)
        offered = op.aten if source == "aten" else op.onnx
        twice = table.keys() & offered.keys()
        if twice:
            raise ValueError(f"operation {name} claims {sorted(twice)} which another operation claims")
        table.update(offered)
    return table
