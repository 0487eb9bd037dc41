"""The order of maxima and monotone activations: with the pool before the ReLU, fewer values are tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tacit.ir import Node

__all__ = ["pool_first"]

#: Activations that keep the order of values, so that they commute with maxima.
_MONOTONE = ("relu",)


def pool_first(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[list[Node], list[str]]:
    """The nodes and outputs with max(relu(x)) written as relu(max(x)), wherever nothing else reads the activation."""
    out, ends = list(nodes), list(outputs)
    moved = True
    while moved:
        uses = Counter([*ends, *(i for node in out for i in node.inputs)])
        at = {node.id: number for number, node in enumerate(out)}
        moved = False
        for number, pool in enumerate(out):
            inner = out[at[pool.inputs[0]]] if pool.op == "max" else None
            if inner is None or inner.op not in _MONOTONE or uses[inner.id] != 1:
                continue
            # The activation keeps its name and takes the pool's place: whoever read the pool reads the activation now.
            out[at[inner.id]] = replace(pool, inputs=inner.inputs)
            out[number] = replace(inner, inputs=(pool.id,), shape=pool.shape)
            out = [
                node if node.id == inner.id else replace(node, inputs=_renamed(node.inputs, pool.id, inner.id))
                for node in out
            ]
            ends = list(_renamed(ends, pool.id, inner.id))
            moved = True
            break
    return out, ends


def _renamed(names: Sequence[str], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if name == old else name for name in names)
