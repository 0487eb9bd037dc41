"""Recurrent layers unrolled over a fixed number of steps: LSTM, GRU and RNN as products, sigmoids and tanh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tacit.ir.attrs import Doubles
from tacit.ir.expr import Expr, joined
from tacit.ir.source import Constant

__all__ = ["CELLS", "Cell", "State", "Weights", "unrolled"]

#: h, and c of an LSTM; None stands for zeros.
State = tuple[Expr | None, ...]


@dataclass(frozen=True)
class Weights:
    """One direction of one layer, its gates in torch's order: inner [gates H, I], outer [gates H, H], biases [gates H].

    `reset_first` says that a GRU resets the state before the product with it, not after.
    """

    inner: Constant
    outer: Constant
    inner_bias: Constant | None = None
    outer_bias: Constant | None = None
    reset_first: bool = False

    @property
    def size(self) -> int:
        """H, the size of the state."""
        return int(self.outer.array.shape[1])

    def bias(self, name: str) -> Doubles:
        """One of the biases, or zeros."""
        given = self.inner_bias if name == "inner" else self.outer_bias
        return np.zeros(len(self.outer.array)) if given is None else given.array.astype(np.float64)


#: From the product of the input with the inner weights, to which biases were added, and the state to the new state.
Cell = Callable[[Expr, State, Weights], tuple[Expr, ...]]


def _smooth(x: Expr, name: str) -> Expr:
    return x.apply("smooth", function=name)


def _rows(weight: Constant, start: int, end: int) -> Constant:
    name = f"{weight.name}.{start}.{end}" if weight.name else ""
    return Constant(weight.array[start:end], name, weight.trained)


def _part(x: Expr, number: int, size: int, count: int = 1) -> Expr:
    """Consecutive parts of the last axis."""
    return x.take(len(x.shape) - 1, range(number * size, (number + count) * size))


def _lstm(given: Expr, state: State, w: Weights) -> tuple[Expr, ...]:
    """c' = f c + i g, h' = o tanh(c'): one sigmoid of all gates and one product of both summands."""
    h, c, size = state[0], state[1], w.size
    gates = given if h is None else given + h.linear(w.outer)
    kept, new = _smooth(joined([_part(gates, 0, size, 2), _part(gates, 3, size)], 1), "sigmoid"), _part(gates, 2, size)
    new = _smooth(new, "tanh")
    if c is None:
        memory = _part(kept, 0, size) * new
    else:
        both = _part(kept, 0, size, 2) * joined([new, c], 1)
        memory = _part(both, 0, size) + _part(both, 1, size)
    return _part(kept, 2, size) * _smooth(memory, "tanh"), memory


def _gru(given: Expr, state: State, w: Weights) -> tuple[Expr, ...]:
    """h' = n + z (h - n), n = tanh(i + r (W h + b)), or tanh(i + W (r h) + b) with `reset_first`."""
    h, size = state[0], w.size
    gates, new = _part(given, 0, size, 2), _part(given, 2, size)
    last = Constant(w.bias("outer")[2 * size :])
    outer = _rows(w.outer, 2 * size, 3 * size)
    if h is not None:
        gates = gates + h.linear(_rows(w.outer, 0, 2 * size))
    both = _smooth(gates, "sigmoid")
    reset, update = _part(both, 0, size), _part(both, 1, size)
    if h is None:
        new = new + reset.affine(1, last) if not w.reset_first and last.array.any() else new
    elif w.reset_first:
        new = new + (reset * h).linear(outer)
    else:
        new = new + reset * h.linear(outer, last)
    new = _smooth(new, "tanh")
    return (new - update * new if h is None else new + update * (h - new),)


def _rnn(activation: str) -> Cell:
    def cell(given: Expr, state: State, w: Weights) -> tuple[Expr, ...]:
        total = given if state[0] is None else given + state[0].linear(w.outer)
        return (total.apply("relu") if activation == "relu" else _smooth(total, activation),)

    return cell


#: Cells by name, with how many tensors their state has.
CELLS: dict[str, tuple[Cell, int]] = {
    "lstm": (_lstm, 2),
    "gru": (_gru, 1),
    "rnn_tanh": (_rnn("tanh"), 1),
    "rnn_relu": (_rnn("relu"), 1),
}


def unrolled(kind: str, x: Expr, state: State, w: Weights, backward: bool = False) -> tuple[Expr, tuple[Expr, ...]]:
    """All states h of one direction, [T, B, H] in the order of time, and the last state, for x of [T, B, I].

    Products with the input are one layer over all steps.
    """
    cell, _ = CELLS[kind]
    bias = w.bias("inner") + w.bias("outer")
    if kind == "gru" and not w.reset_first:  # the last gate's outer bias is multiplied by the reset gate
        bias[2 * w.size :] = w.bias("inner")[2 * w.size :]
    given = x.linear(w.inner, Constant(bias) if bias.any() else None)
    made: list[Expr] = []
    steps: Sequence[int] = range(x.shape[0])
    now = state
    for t in reversed(steps) if backward else steps:
        now = cell(given.select(0, t), now, w)
        assert now[0] is not None
        made.append(now[0].reshape(1, *now[0].shape))
    last = tuple(part for part in now if part is not None)
    return joined(made[::-1] if backward else made, 0), last
