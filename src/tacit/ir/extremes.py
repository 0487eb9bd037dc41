"""The largest and smallest entries along axes, and where they lie, as source calls ask for them."""

from __future__ import annotations

from collections.abc import Sequence

from tacit.ir.expr import Expr
from tacit.ir.source import Step, Unsupported, Value

__all__ = ["MOST_LABELS", "MOST_RANKED", "best_and_place", "largest", "places", "signed"]

#: The most values that are ranked, half a million comparisons a thousand, and the most positions that are told.
MOST_RANKED, MOST_LABELS = 2048, 64


def signed(x: Expr, smallest: bool) -> Expr:
    """x, or -x, whose largest is the smallest of x."""
    return x.times(-1) if smallest else x


def largest(x: Expr, axes: Sequence[int], keep: bool) -> Expr:
    """The maxima along axes, which stay with size 1 if `keep`. Raises Unsupported."""
    if 0 in axes:
        raise Unsupported("not yet", "a maximum or minimum over the batch", "Keep the examples of a batch apart.")
    best = x
    for along in axes:
        sizes = (*best.shape[:along], 1, *best.shape[along + 1 :])
        best = Expr(Step("max", (best.tree,), {"axis": along, "whole": True}), sizes)
    return best if keep else best.reshape(*(size for a, size in enumerate(x.shape) if a not in axes))


def places(x: Expr, along: int, count: int, keep: bool = True) -> Expr:
    """The positions of the `count` largest along an axis, which has that size then, or vanishes if there is one and not
    `keep`. Raises Unsupported.
    """
    rank, size = len(x.shape), x.shape[along]
    if along == 0:
        raise Unsupported("not yet", "a position along the batch", "Keep the examples of a batch apart.")
    if not count < size <= MOST_RANKED or not 0 < count <= MOST_LABELS:
        what = f"the positions of the {count} largest of {size}"
        raise Unsupported("not yet", what, f"Ask for up to {MOST_LABELS}, and fewer than there are, of {MOST_RANKED}.")
    order = [*(a for a in range(rank) if a != along), along]
    turned = x.permute(*order)
    found = Expr(Step("topk", (turned.tree,), {"k": count}), (*turned.shape[:-1], count))
    if not keep:
        return found.reshape(*turned.shape[:-1])
    return found.permute(*(order.index(a) for a in range(rank)))


def best_and_place(x: Expr, along: int, keep: bool, smallest: bool) -> tuple[Value | Step, Value | Step | Unsupported]:
    """The largest or smallest along an axis, and where it is: refused only where something reads it."""
    turned = signed(x, smallest)
    best = signed(largest(turned, [along], keep), smallest)
    try:
        return best.tree, places(turned, along, 1, keep).tree
    except Unsupported as why:
        return best.tree, why
