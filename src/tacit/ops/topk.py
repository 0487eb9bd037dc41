"""topk: the positions of the k largest of the last axis, largest first; equal ones in their order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, integer
from tacit.ir.expr import Expr
from tacit.ir.extremes import MOST_LABELS, MOST_RANKED, best_and_place, places, signed
from tacit.ir.graph import Node
from tacit.ir.source import Step, Unsupported, Value, needs_value, structure, wrap_axis
from tacit.secure.placer import Placer

__all__ = ["aten", "bound", "clear", "extent", "onnx", "place", "shape"]

#: What decides between a tree and all pairs: seconds a sign test takes both parties, seconds a step costs beyond the
# link, bytes of a word.
_TEST_S, _STEP_S, _WORD_BYTES = 1e-7, 3e-4, 5


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """[*, n] to [*, k], 1 <= k < n. Raises InvalidInput."""
    k = integer(attrs, "k", 1)
    if len(x) < 2 or not k < x[-1] <= MOST_RANKED or k > MOST_LABELS:
        raise InvalidInput(f"the first {k} (up to {MOST_LABELS}) of 2 to {MOST_RANKED} values, not of an array of {x}")
    return (*x[:-1], k)


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The positions, as numbers."""
    order = np.argsort(-x, axis=-1, kind="stable")
    return order[..., : integer(attrs, "k", 1)].astype(np.float64)


def place(p: Placer, node: Node, sites: list[int]) -> int:
    """All pairs at once or, for one label where that is faster on the policy's link, a tree of pairs; exactly."""
    items, k = p.wires[sites[0]].shape[-1], integer(node.attrs, "k", 1)
    rows = p.wires[sites[0]].count // items
    levels, pairs = math.ceil(math.log2(items)), items * (items - 1) // 2
    tree = _seconds(p, 2 * levels, rows * (items - 1), 4)
    return _tree(p, node, sites[0]) if k == 1 and tree < _seconds(p, 4, rows * pairs, 1) else _ranked(p, node, sites[0])


def _seconds(p: Placer, steps: int, tests: int, words: int) -> float:
    """Roughly how long sign tests take of which each sends `words` words: what decides between a tree and all pairs."""
    wire = tests * words * _WORD_BYTES
    return steps * (p.link.rtt_s / 2 + _STEP_S) + 8 * wire / p.link.bandwidth_bits_per_s + tests * _TEST_S


def _tree(p: Placer, node: Node, site: int) -> int:
    """Winners of neighbours, with their positions: two one-way steps a level. Of equals the first wins."""
    label = p.emit("iota", (site,), node.id, {"ring": p.widest})
    while p.wires[label].shape[-1] > 1:
        site, label = _level(p, node, site, label)
    return label


def _level(p: Placer, node: Node, site: int, label: int) -> tuple[int, int]:
    """One level of the tree: both differences are opened at once, one sign chooses in both."""
    axis, count = len(p.wires[site].shape) - 1, p.wires[site].shape[-1]
    limits = (2 * p.bound(node.inputs[0]), float(MOST_RANKED))

    def take(at: int, index: list[int]) -> int:
        return p.emit("take", (at,), node.id, {"axis": axis, "index": index})

    first, second = list(range(0, count - 1, 2)), list(range(1, count, 2))
    seconds, openings = [], []
    for at, limit in zip((site, label), limits, strict=True):
        seconds.append(take(at, second))
        difference = p.emit("sub", (take(at, first), seconds[-1]), node.id, {})
        openings.append(p.opened(difference, node.id, node.inputs[0], limit))
    bits = p.sign_bits(p.wires[site].scale, limits[0], exact=True)
    hidden = p.emit("sign", (openings[0],), node.id, {"bits": bits})
    winners = []
    for at, opened, other in zip((site, label), openings, seconds, strict=True):
        attrs = {"ring": p.widest, "scale": str(p.wires[at].scale), "shift": 0, "slopes": [0, 1]}
        best = p.emit("add", (other, p.emit("choose", (opened, hidden), node.id, attrs)), node.id, {})
        winners.append(p.emit("concat", (best, take(at, [count - 1])), node.id, {"axis": axis}) if count % 2 else best)
    return winners[0], winners[1]


def _ranked(p: Placer, node: Node, site: int) -> int:
    """Ranks are sums of the bits of all pairs; the ranks below k are looked up at one opening. Four one-way steps,
    however many values there are.
    """
    source, k, items = node.inputs[0], integer(node.attrs, "k", 1), p.wires[site].shape[-1]
    bound = 2 * p.bound(source)
    pairs = p.emit("pairs", (site,), node.id, {})
    bits = p.sign_bits(p.wires[pairs].scale, bound, exact=True)
    opened = p.opened(pairs, node.id, source, bound)
    whole = {"ring": p.widest, "scale": "1"}
    ranks = p.emit("ranks", (opened,), node.id, {**whole, "items": items, "bits": bits})
    most = float(2 * items)
    knots = p.fanned(p.opened(ranks, node.id, source, float(items)), node.id, range(1, k + 1), most)
    bits = p.sign_bits(p.wires[ranks].scale, most, exact=True)
    return p.emit("labels", (knots,), node.id, {**whole, "bits": bits})


def extent(attrs: Attrs, x: Shape) -> float:
    """The number of values, whatever x is."""
    return float(x[-1])


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The largest position there can be."""
    return float(MOST_RANKED)


def _place(smallest: bool) -> Callable[..., Value | Step]:
    def adapter(x: Any, dim: Any = None, keepdim: bool = False) -> Value | Step:
        whole = Expr.of(needs_value(x, "the input of an argmax"))
        if dim is None:
            raise Unsupported("not yet", "a position within the whole batch", "Give the axis.")
        along = wrap_axis(int(dim), len(whole.shape))
        return places(signed(whole, smallest), along, 1, keepdim).tree

    return adapter


def _onnx_place(smallest: bool) -> Callable[..., Value | Step]:
    def adapter(x: Any, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Value | Step:
        if select_last_index:
            raise Unsupported("not yet", "an argmax that prefers the last of equals", "Prefer the first.")
        return _place(smallest)(x, axis, bool(keepdims))

    return adapter


def _topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Any, ...]:  # noqa: A002
    """Values and positions; of more than one the positions alone, for no gate moves values about."""
    whole = Expr.of(needs_value(x, "the values that are ranked"))
    along = wrap_axis(dim, len(whole.shape))
    if k == 1:
        return best_and_place(whole, along, True, not largest)
    values = Unsupported("not yet", f"the {k} largest values", "Use their positions, or the largest alone.")
    return values, places(signed(whole, not largest), along, k).tree


def _onnx_topk(x: Any, k: Any, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Any, ...]:  # noqa: A002
    return _topk(x, int(structure(k, "a number of values").reshape(())), axis, bool(largest))


aten = {
    "aten.argmax.default": _place(smallest=False),
    "aten.argmin.default": _place(smallest=True),
    "aten.topk.default": _topk,
}
onnx = {"ArgMax": _onnx_place(smallest=False), "ArgMin": _onnx_place(smallest=True), "TopK": _onnx_topk}
