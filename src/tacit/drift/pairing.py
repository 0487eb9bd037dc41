"""Which layer of one graph is which of another, and in what two such layers differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher

import numpy as np

from tacit.front.layers import own_weights
from tacit.ir.attrs import Doubles
from tacit.ir.graph import Graph, Node

__all__ = ["differences", "paired"]

#: Trained weights have more distinct values than these bits can hold.
_FEW_BITS = 8


def paired(reference: Graph, candidate: Graph) -> dict[str, str]:
    """The reference's node for each of the candidate's, by name where names agree, else by order and kind."""
    names = {node.id for node in reference.nodes}
    found = {node.id: node.id for node in candidate.nodes if node.id in names}
    if 2 * len(found) > min(len(reference.nodes), len(candidate.nodes)):
        return found
    ours, theirs = ([(n.op, n.shape[1:]) for n in graph.nodes] for graph in (candidate, reference))
    matcher = SequenceMatcher(a=ours, b=theirs, autojunk=False)
    return {
        candidate.nodes[block.a + i].id: reference.nodes[block.b + i].id
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    }


def differences(reference: Graph, wanted: Node, candidate: Graph, node: Node) -> list[str]:
    """What is different about the candidate's layer, in phrases; empty when nothing is."""
    if node.op != wanted.op:
        return [f"it is {node.op} where the reference has {wanted.op}"]
    said = [
        f"{name} is {node.attrs.get(name)} where the reference has {wanted.attrs.get(name)}"
        for name in sorted(node.attrs.keys() | wanted.attrs.keys())
        if node.attrs.get(name) != wanted.attrs.get(name)
    ]
    return [*said, *_of_weights(own_weights(candidate, node), own_weights(reference, wanted))]


def _of_weights(got: Mapping[str, Doubles], want: Mapping[str, Doubles]) -> Iterator[str]:
    for slot in sorted(got.keys() | want.keys()):
        if slot not in got:
            yield f"the {slot} is missing"
        elif slot not in want:
            yield f"the reference has no {slot}"
        elif got[slot].shape != want[slot].shape:
            yield f"the {slot} has shape {got[slot].shape} where the reference has {want[slot].shape}"
        elif not np.allclose(got[slot], want[slot], rtol=1e-5, atol=1e-7 * float(np.abs(want[slot]).max(initial=0.0))):
            yield f"the {slot} {_how(got[slot], want[slot])}"


def _how(got: Doubles, want: Doubles) -> str:
    """In what way an array differs from another of its shape."""
    close = 1e-4 * float(np.abs(want).max(initial=0.0)) + 1e-12
    if not np.abs(got).max(initial=0.0):
        return "is zero"
    ratio = float((got * want).sum() / max(float((want * want).sum()), 1e-300))
    if np.allclose(got, ratio * want, rtol=0, atol=close):
        return f"is {ratio:.6g} times the reference's"
    for axis in range(got.ndim):
        order = _order(got, want, axis, close)
        if order is not None:
            return f"has its axis {axis} in another order ({', '.join(map(str, order[:8]))}...)"
        if np.allclose(np.flip(got, axis), want, rtol=0, atol=close):
            return f"is reversed along axis {axis}"
    for axis in range(got.ndim - 1):
        for other in range(axis + 1, got.ndim):
            swapped = np.swapaxes(got, axis, other)
            if swapped.shape == want.shape and np.allclose(swapped, want, rtol=0, atol=close):
                return f"has its axes {axis} and {other} transposed"
    if len(np.unique(got)) <= min(1 << _FEW_BITS, len(np.unique(want)) // 2):
        return f"has only {len(np.unique(got))} different values: it was quantised"
    if got.ndim > 1 and _by_row(got, want):
        return "is the reference's times a factor for each output: another norm was folded into it"
    return f"differs by up to {float(np.abs(got - want).max(initial=0.0)):.3g}"


def _order(got: Doubles, want: Doubles, axis: int, close: float) -> list[int] | None:
    """The order in which `got` has the slices of `want` along `axis`; None if it has not, or in the same."""
    ours, theirs = (np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1) for a in (got, want))
    if len(ours) > 4096:
        return None
    order = [int(np.argmin(np.abs(theirs - row).max(1))) for row in ours]
    same = order == list(range(len(order)))
    return None if same or sorted(order) != sorted(set(order)) or np.abs(ours - theirs[order]).max() > close else order


def _by_row(got: Doubles, want: Doubles) -> bool:
    ours, theirs = got.reshape(len(got), -1), want.reshape(len(want), -1)
    ratio = (ours * theirs).sum(1) / np.maximum((theirs * theirs).sum(1), 1e-300)
    return bool(np.allclose(ours, ratio[:, None] * theirs, rtol=0, atol=1e-4 * np.abs(ours).max()))
