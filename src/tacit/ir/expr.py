"""Expr: a tree of steps under construction that knows its shape, for source calls that become several operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

from tacit.ir.graph import Attr
from tacit.ir.source import Constant, Step, Value, polynomial

__all__ = ["Expr", "joined"]


@dataclass(frozen=True)
class Expr:
    """What a tree computes, of shape `shape`, batch first. Methods that change nothing return the same tree."""

    tree: Value | Step
    shape: tuple[int, ...]

    @classmethod
    def of(cls, x: Value) -> Expr:
        """An activation."""
        return cls(x, x.shape)

    def reshape(self, *sizes: int) -> Expr:
        """The same numbers in the same order; one size may be -1."""
        known = prod(size for size in sizes if size != -1)
        new = tuple(prod(self.shape) // max(known, 1) if size == -1 else size for size in sizes)
        return self if new == self.shape else Expr(Step("reshape", (self.tree,), {"shape": list(new)}), new)

    def permute(self, *order: int) -> Expr:
        """The axes in another order."""
        if list(order) == list(range(len(self.shape))):
            return self
        return Expr(Step("permute", (self.tree,), {"order": list(order)}), tuple(self.shape[a] for a in order))

    def take(self, axis: int, index: Sequence[int]) -> Expr:
        """The entries at fixed positions of an axis."""
        if list(index) == list(range(self.shape[axis])):
            return self
        attrs: dict[str, Attr] = {"axis": axis, "index": [int(i) for i in index]}
        return Expr(Step("take", (self.tree,), attrs), (*self.shape[:axis], len(index), *self.shape[axis + 1 :]))

    def select(self, axis: int, position: int) -> Expr:
        """One entry of an axis, which vanishes."""
        return self.take(axis, [position]).reshape(*self.shape[:axis], *self.shape[axis + 1 :])

    def pad(self, axis: int, before: int, after: int) -> Expr:
        """Zeros before and after along an axis; a negative number takes entries away instead."""
        widths = [(before, after) if a == axis else (0, 0) for a in range(len(self.shape))]
        return self.padded(widths)

    def padded(self, widths: Sequence[tuple[int, int]]) -> Expr:
        """Zeros before and after along every axis; a negative number takes entries away instead."""
        kept = self
        for axis, (before, after) in enumerate(widths):
            kept = kept.take(axis, range(max(0, -before), kept.shape[axis] - max(0, -after)))
        zeros: list[list[Attr]] = [[max(0, width[end]) for width in widths] for end in (0, 1)]
        if not any(map(any, zeros)):
            return kept
        new = tuple(size + max(0, b) + max(0, a) for size, (b, a) in zip(kept.shape, widths, strict=True))
        return Expr(Step("pad", (kept.tree,), {"before": zeros[0], "after": zeros[1]}), new)

    def expand(self, *sizes: int) -> Expr:
        """Axes of size 1 repeated, after new ones of size 1 in front."""
        lifted = self.reshape(*(1,) * (len(sizes) - len(self.shape)), *self.shape)
        if lifted.shape == sizes:
            return lifted
        return Expr(Step("expand", (lifted.tree,), {"shape": list(sizes)}), tuple(sizes))

    def linear(self, weight: Constant, bias: Constant | None = None) -> Expr:
        """x W^T + b along the last axis."""
        weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        return Expr(Step("linear", (self.tree,), {}, weights), (*self.shape[:-1], weight.array.shape[0]))

    def affine(self, axis: int, gain: Constant) -> Expr:
        """One trained factor for each entry of an axis."""
        return Expr(Step("affine", (self.tree,), {"axis": axis}, {"gain": gain}), self.shape)

    def poly(self, *coeffs: Fraction | int) -> Expr:
        """A public polynomial, constant term first."""
        return Expr(polynomial(self.tree, *coeffs), self.shape)

    def times(self, factor: Fraction | int) -> Expr:
        """A public number times as much."""
        return self if factor == 1 else self.poly(0, factor)

    def offset(self, number: Fraction | int) -> Expr:
        """A public number more."""
        return Expr(polynomial(self.tree, number, 1), self.shape) if number else self

    def apply(self, op: str, **attrs: Attr) -> Expr:
        """An operation that keeps the shape."""
        return Expr(Step(op, (self.tree,), attrs), self.shape)

    def __add__(self, other: Expr) -> Expr:
        return self._with("add", other)

    def __sub__(self, other: Expr) -> Expr:
        return self._with("sub", other)

    def __mul__(self, other: Expr) -> Expr:
        """The product, entry by entry; sizes of 1 are repeated."""
        shape = np.broadcast_shapes(self.shape, other.shape)
        return Expr(Step("mul", (self.tree, other.tree)), shape)

    def __matmul__(self, other: Expr) -> Expr:
        """The products of matrices in the last two axes."""
        lead = np.broadcast_shapes(self.shape[:-2], other.shape[:-2])
        attrs: dict[str, Attr] = {"inner": self.shape[-1]}
        return Expr(Step("matmul", (self.tree, other.tree), attrs), (*lead, self.shape[-2], other.shape[-1]))

    def _with(self, op: str, other: Expr) -> Expr:
        shape = np.broadcast_shapes(self.shape, other.shape)
        return Expr(Step(op, (self.expand(*shape).tree, other.expand(*shape).tree)), shape)


def joined(parts: Sequence[Expr], axis: int) -> Expr:
    """The parts one after the other along an axis; one part alone is itself."""
    first = parts[0]
    if len(parts) == 1:
        return first
    shape = (*first.shape[:axis], sum(part.shape[axis] for part in parts), *first.shape[axis + 1 :])
    return Expr(Step("concat", tuple(part.tree for part in parts), {"axis": axis}), shape)
