"""Small graphs drawn by hand, with made weights, and plans of them: what the conformance suites and tests run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit import ops
from tacit.front.clear import ranges
from tacit.ir.graph import Attr, Graph, Node
from tacit.plan.compile import commit, integer_weights, plan_graph
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy

__all__ = ["BITS", "QUARTIC", "Sketch", "nrmse", "pinned", "plan_for", "policy_for", "residual_net"]

Doubles = NDArray[np.float64]

#: The quartic fit of ReLU on [-5, 5] with 12-bit coefficients, constant term first (Diaa et al., USENIX Security 2024).
QUARTIC = ("1220/4096", "1/2", "663/4096", "0", "-13/4096")
#: Fraction bits of inputs and weights with which small nets fit rings of that many bits or more; 0: any.
BITS: Mapping[int, tuple[int, int]] = {
    16: (4, 4),
    24: (7, 6),
    32: (11, 8),
    40: (12, 10),
    44: (14, 12),
    64: (16, 12),
    0: (16, 12),
}


class Sketch:
    """A graph in the making. Each method adds a node and returns its id; weights come from numpy's generator `seed`."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self._nodes: list[Node] = []
        self._weights: dict[str, Doubles] = {}

    def shape(self, node: str) -> tuple[int, ...]:
        """The shape of a node made before."""
        return next(n.shape for n in self._nodes if n.id == node)

    def input(self, *shape: int) -> str:
        """An input, batch first."""
        return self._add("input", (), shape, {}, {})

    def op(self, op: str, *inputs: str, attrs: Mapping[str, Attr] | None = None, **weights: Doubles) -> str:
        """Any operation; the shape is inferred. Raises InvalidInput if it does not fit."""
        shapes = {name: w.shape for name, w in weights.items()}
        shape = ops.infer(op, attrs or {}, tuple(self.shape(i) for i in inputs), shapes)
        return self._add(op, inputs, shape, attrs or {}, weights)

    def conv(
        self,
        x: str,
        maps: int,
        kernel: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
        dilation: int = 1,
        groups: int = 1,
        gain: float = 1.0,
    ) -> str:
        """A convolution with bias whose outputs have about `gain` times the size of its inputs."""
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        same = tuple(k // 2 for k in size) if padding is None else padding
        depth = self.shape(x)[1] // groups
        attrs: dict[str, Attr] = {
            "stride": [stride, stride],
            "padding": list(same) if isinstance(same, tuple) else [same, same],
            "dilation": [dilation, dilation],
            "groups": groups,
        }
        weight = self._normal((maps, depth, *size), gain / math.sqrt(depth * math.prod(size)))
        return self.op("conv", x, attrs=attrs, weight=weight, bias=self._normal((maps,), 0.1))

    def linear(self, x: str, outputs: int, *, gain: float = 1.0) -> str:
        """A linear layer with bias on the last axis."""
        inputs = self.shape(x)[-1]
        weight = self._normal((outputs, inputs), gain / math.sqrt(inputs))
        return self.op("linear", x, weight=weight, bias=self._normal((outputs,), 0.1))

    def affine(self, x: str, axis: int = 1) -> str:
        """A gain and an offset per channel."""
        size = (self.shape(x)[axis],)
        return self.op("affine", x, attrs={"axis": axis}, gain=self._normal(size, 1.0), offset=self._normal(size, 0.1))

    def poly(self, x: str, coeffs: Sequence[str | int] = QUARTIC) -> str:
        """A polynomial activation, constant term first."""
        return self.op("poly", x, attrs={"coeffs": [str(c) for c in coeffs]})

    def activation(self, op: str, x: str) -> str:
        """A quartic for "poly", else the activation of that name."""
        return self.poly(x) if op == "poly" else self.op(op, x)

    def pool(self, x: str, kernel: int = 2) -> str:
        """An average pool with stride equal to the window."""
        attrs: dict[str, Attr] = {
            "kernel": [kernel, kernel],
            "stride": [kernel, kernel],
            "padding": [0, 0],
            "divisor": kernel * kernel,
        }
        return self.op("sumpool", x, attrs=attrs)

    def flat(self, x: str) -> str:
        """All axes but the first in one."""
        shape = self.shape(x)
        return self.op("reshape", x, attrs={"shape": [shape[0], math.prod(shape[1:])]})

    def graph(self, *outputs: str) -> Graph:
        """What was drawn."""
        return Graph(tuple(self._nodes), outputs, dict(self._weights))

    def values(self, spread: float = 1.0) -> list[Doubles]:
        """Made inputs: normal, cut at three times `spread`."""
        made = [
            np.clip(self.rng.normal(0.0, spread, n.shape), -3 * spread, 3 * spread)
            for n in self._nodes
            if n.op == "input"
        ]
        return [np.asarray(x, np.float64) for x in made]

    def _normal(self, shape: tuple[int, ...], spread: float) -> Doubles:
        return np.asarray(np.clip(self.rng.normal(0.0, spread, shape), -3 * spread, 3 * spread), np.float64)

    def _add(
        self,
        op: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...],
        attrs: Mapping[str, Attr],
        weights: Mapping[str, Doubles],
    ) -> str:
        node = f"{op}{len(self._nodes)}"
        keys = {name: f"{node}.{name}" for name in weights}
        self._weights.update({keys[name]: w for name, w in weights.items()})
        self._nodes.append(Node(node, op, inputs, shape, attrs, keys))
        return node


def residual_net(batch: int = 2, seed: int = 0, activation: str = "poly") -> tuple[Graph, list[Doubles]]:
    """A residual net of three convolutions, three quartics (or another activation), a pool and a linear layer on
    [batch, 2, 6, 6]; an input.
    """
    s = Sketch(seed)
    x = s.input(batch, 2, 6, 6)
    first = s.activation(activation, s.conv(x, 4))
    second = s.conv(s.activation(activation, s.conv(first, 4)), 4, gain=0.5)
    joined = s.activation(activation, s.op("add", second, first))
    return s.graph(s.linear(s.flat(s.pool(joined, 3)), 5)), s.values()


def policy_for(trust: str, ring: int = 0, **more: Any) -> Policy:
    """A policy under which small nets fit `ring` (0: the planner chooses), with a margin of 2."""
    input_bits, weight_bits = BITS[max(known for known in BITS if known <= ring)]
    chosen: dict[str, Any] = {"input_bits": input_bits, "weight_bits": weight_bits, "margin": 2.0, **more}
    return Policy(trust=trust, ring=ring, **chosen)


def plan_for(graph: Graph, policy: Policy, xs: Sequence[Doubles]) -> Plan:
    """The owner's plan of `graph` with the ranges that one batch `xs` shows."""
    seen = ranges(graph, [tuple(xs)])
    return plan_graph(graph, policy, {node: value * policy.margin for node, value in seen.items()}, seen, "0" * 64)


def pinned(plan: Plan) -> Plan:
    """`plan` with a salt and opening of zeros: the same digest each time, so that seeded runs repeat to the byte."""
    opening = bytes(32)
    return replace(plan, salt="00" * 16, opening=opening, commitment=commit(integer_weights(plan), opening))


def nrmse(got: Sequence[Doubles], want: Sequence[Doubles]) -> float:
    """The root mean square deviation of all outputs over that of what was wanted from zero."""
    error = sum(float(((g - w) ** 2).sum()) for g, w in zip(got, want, strict=True))
    size = sum(float((w**2).sum()) for w in want)
    return math.sqrt(error / size) if size else math.sqrt(error)
