"""Recurrent layers as sources call them: several layers, both directions, and the orders of gates and axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.ir.expr import Expr, joined
from tacit.ir.recurrent import CELLS, State, Weights, unrolled
from tacit.ir.source import Constant, Step, Unsupported, Value, needs_constant, needs_value

__all__ = ["from_onnx_layer", "from_torch_cell", "from_torch_layers"]

Tree = Value | Step

#: ONNX's order of gates, as positions of torch's: i o f c, z r h.
_ONNX_ORDER = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn_tanh": (0,), "rnn_relu": (0,)}


def _states(given: Sequence[Any], count: int) -> list[State]:
    """The first state of every layer and direction: zeros, or activations of [count, B, H]."""
    parts: list[list[Expr | None]] = [[] for _ in range(count)]
    for x in given:
        if isinstance(x, Value):
            for number, part in enumerate(parts):
                part.append(Expr.of(x).select(0, number))
            continue
        if x is not None and needs_constant(x).array.any():
            what = "a recurrent layer whose first state is trained"
            raise Unsupported("not yet", what, "Begin with zeros, or give the state as an input of the model.")
        for part in parts:
            part.append(None)
    return [tuple(part) for part in parts]


def from_torch_layers(
    kind: str, x: Any, hx: Any, params: Sequence[Any], biases: bool, layers: int, train: bool, both: bool, first: bool
) -> tuple[Tree, ...]:
    """All states of the last layer, then the last h (and c) of every layer, as torch gives them; `biases` says that
    there are some, `both` that there are two directions, `first` that the batch is. Raises Unsupported.
    """
    value = needs_value(x, "the input of a recurrent layer")
    if len(value.shape) != 3 or train:
        raise Unsupported("not yet", "a recurrent layer without a batch axis, or in training", "Give a batch axis.")
    whole = Expr.of(value).permute(1, 0, 2) if first else Expr.of(value)
    ways, each = 2 if both else 1, 4 if biases else 2
    if len(params) != layers * ways * each:
        raise Unsupported("not yet", "a recurrent layer with projections", "Use a layer without proj_size.")
    states = _states(hx if isinstance(hx, list | tuple) else [hx], layers * ways)
    ends: list[tuple[Expr, ...]] = []
    for layer in range(layers):
        outs = []
        for way in range(ways):
            at = layer * ways + way
            weights = _weights([needs_constant(p) for p in params[at * each : (at + 1) * each]])
            out, last = unrolled(kind, whole, states[at], weights, backward=way == 1)
            outs.append(out)
            ends.append(last)
        whole = joined(outs, 2)
    lasts = [joined([end[n].reshape(1, *end[n].shape) for end in ends], 0) for n in range(CELLS[kind][1])]
    return ((whole.permute(1, 0, 2) if first else whole).tree, *(last.tree for last in lasts))


def from_torch_cell(kind: str, x: Any, hx: Any, params: Sequence[Any]) -> tuple[Tree, ...]:
    """The new state of torch's cell. Raises Unsupported."""
    value = needs_value(x, "the input of a recurrent cell")
    given = hx if isinstance(hx, list | tuple) else [hx]
    state = tuple(Expr.of(h) if isinstance(h, Value) else _states([h], 1)[0][0] for h in given)
    weights = _weights([None if p is None else needs_constant(p) for p in params])
    _, last = unrolled(kind, Expr.of(value).reshape(1, *value.shape), state, weights)
    return tuple(part.tree for part in last)


def from_onnx_layer(
    kind: str, x: Any, weights: Sequence[Any], hx: Sequence[Any], direction: str, layout: int, reset_first: bool
) -> tuple[Tree, ...]:
    """All states, [T, D, B, H], then the last h (and c), [D, B, H], for inner and outer weights and biases as ONNX has
    them. Raises Unsupported.
    """
    inner, outer, bias = weights
    value = needs_value(x, "the input of a recurrent layer")
    if layout:
        raise Unsupported("not yet", "a recurrent layer with the batch first", "Transpose its input.")
    count = len(needs_constant(inner).array)
    states = _states(hx, count)
    outs, ends = [], []
    for way in range(count):
        one = _direction(kind, way, needs_constant(inner), needs_constant(outer), bias, reset_first)
        backward = direction == "reverse" or way == 1
        out, last = unrolled(kind, Expr.of(value), states[way], one, backward)
        outs.append(out.reshape(out.shape[0], 1, *out.shape[1:]))
        ends.append(last)
    lasts = [joined([end[n].reshape(1, *end[n].shape) for end in ends], 0) for n in range(CELLS[kind][1])]
    return (joined(outs, 1).tree, *(last.tree for last in lasts))


def _direction(kind: str, way: int, inner: Constant, outer: Constant, bias: Any, reset_first: bool) -> Weights:
    """The weights of one direction, gates in torch's order."""
    order = _ONNX_ORDER[kind]

    def sorted_rows(array: Any) -> Any:
        blocks = np.split(array, len(order))
        return np.concatenate([blocks[p] for p in order])

    named: list[Constant | None] = [
        Constant(sorted_rows(w.array[way]), w.name and f"{w.name}.{way}", w.trained) for w in (inner, outer)
    ]
    if bias is not None:
        named += [Constant(sorted_rows(half)) for half in np.split(needs_constant(bias).array[way], 2)]
    return _weights(named, reset_first)


def _weights(given: Sequence[Constant | None], reset_first: bool = False) -> Weights:
    """Inner and outer weights, then perhaps the biases of both."""
    inner, outer, *biases = given
    inner_bias, outer_bias = biases or (None, None)
    return Weights(needs_constant(inner), needs_constant(outer), inner_bias, outer_bias, reset_first)
