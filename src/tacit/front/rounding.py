"""How much of a layer's error its plan explains: rounded weights, truncations, windows of sign tests, fitted functions.

A layer is given the values that reached it in the run, so that errors of earlier layers do not count: what then remains
beyond the plan's own rounding is a fault of this layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from tacit import ops
from tacit.front.layers import layer_sites, own_weights
from tacit.ir.attrs import Doubles, Weights
from tacit.ir.graph import Node
from tacit.plan.plan import Plan
from tacit.plan.rings import LINEAR
from tacit.secure.session import Step

__all__ = ["Rounding"]

#: Float64 sums of many terms differ in their last digits.
_FLOAT = 1e-9
#: How many times the spread of a layer's probe is still rounding; a healthy layer stays below one.
_SLACK = 4.0
_TENSORS = {"weight": "weight", "gain": "weight", "bias": "bias", "offset": "bias"}


class Rounding:
    """What the steps of an owner's plan may do to each layer's values."""

    def __init__(self, plan: Plan) -> None:
        if plan.graph is None:
            raise LookupError("the public half of a plan has no graph")
        self._plan, self._graph = plan, plan.graph
        self._sites = layer_sites(plan)
        self._steps: dict[str, list[Step]] = {}
        for step in plan.steps:
            self._steps.setdefault(step.node, []).append(step)
        self._unit = 2.0 ** -int(plan.settings.get("input_bits", 16))

    def unexplained(self, node: Node, values: Mapping[str, Doubles], want: Doubles) -> float:
        """The error of `values[node.id]` from `want` over the most that the plan explains: above 1 is a fault.

        `want` is what the layer should make of the inputs in `values`, which holds those of the run.
        """
        error = values[node.id] - want
        if node.op == "topk":
            return self._of_labels(node, values)
        last = self._plan.steps[self._sites[node.id]]
        if last.op in LINEAR and node.weights:
            allowed = self._of_product(node, last, values) + _FLOAT * (1 + np.abs(want))
            return float(np.max(np.abs(error) / allowed, initial=0.0))
        return self._of_other(node, values, want, error)

    def _of_product(self, node: Node, step: Step, values: Mapping[str, Doubles]) -> Doubles:
        """A bound of each element: half a unit of every weight times its input, and of the bias."""
        operation, x = ops.load(node.op), values[node.inputs[0]]
        half = {"weight": 0.5 / float(step.fraction("weight_scale"))}
        half["bias"] = 0.5 / float(self._plan.wires[step.site].scale)
        own = own_weights(self._graph, node)
        units: Weights = {slot: np.full(w.shape, half[_TENSORS[slot]]) for slot, w in own.items()}
        bound = operation.clear(node.attrs, units, np.abs(x))
        if self._truncated(step.inputs[0], node.inputs[0]):
            sizes = {s: np.abs(w) + half["weight"] if _TENSORS[s] == "weight" else 0.0 * w for s, w in own.items()}
            bound = bound + operation.clear(node.attrs, sizes, np.full(x.shape, self._coarsest(node)))
        return bound

    def _truncated(self, site: int, source: str) -> bool:
        """Whether the operand at `site` is another value than the layer `source` made: one brought to fewer bits."""
        while self._plan.steps[site].op in ("remask", "lift") and site != self._sites.get(source):
            site = self._plan.steps[site].inputs[0]
        return site != self._sites.get(source)

    def _of_other(self, node: Node, values: Mapping[str, Doubles], want: Doubles, error: Doubles) -> float:
        """The error beyond what moving the inputs by the layer's own rounding does, over that rounding."""
        step = self._coarsest(node)
        xs = [values[i] for i in node.inputs]
        moved = [self._moved(node, xs, sign * step) for sign in (1.0, -1.0)]
        reach = np.maximum(*(np.abs(m - want) for m in moved))
        stated = sum(float(Fraction(s.attrs.get("error", 0))) for s in self._steps.get(node.id, ()))
        spread = math.sqrt(float((reach**2).mean())) if reach.size else 0.0
        if len(xs) > 1 or want.shape != xs[0].shape:  # values mix, so that a shift of all may cancel
            noise = step * _signs(xs[0].shape)
            probe = self._moved(node, xs, noise) - want
            spread = max(spread, math.sqrt(float((probe**2).mean())) if probe.size else 0.0)
            reach = np.zeros_like(reach)
        beyond = np.maximum(np.abs(error) - reach, 0.0)
        allowed = _SLACK * (spread + step + stated) + _FLOAT * float(np.abs(want).max(initial=1.0))
        return math.sqrt(float((beyond**2).mean())) / allowed if beyond.size else 0.0

    def _moved(self, node: Node, xs: list[Doubles], by: float | Doubles) -> Doubles:
        first = xs[0] + by
        return ops.load(node.op).clear(node.attrs, own_weights(self._graph, node), first, *xs[1:])

    def _coarsest(self, node: Node) -> float:
        """The largest rounding of any step of the layer, once for each that rounds."""
        most, count = 0.0, 0
        for step in self._steps.get(node.id, ()):
            if "shift" in step.attrs or "bits" in step.attrs:
                count += 1
                low = int(step.attrs["bits"][0]) if "bits" in step.attrs else 0
                scale = self._plan.wires[step.inputs[0]].scale
                most = max(most, float(Fraction(2) ** max(low, int(step.attrs.get("shift", 0))) / scale))
        return max(1, count) * max(most, self._unit)

    def _of_labels(self, node: Node, values: Mapping[str, Doubles]) -> float:
        """Labels of values that are as large as those of the right labels are right."""
        x, labels = values[node.inputs[0]], values[node.id].astype(np.int64)
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= x.shape[-1]:
            return math.inf
        best = -np.sort(-x, axis=-1)[..., : labels.shape[-1]]
        lost = best - np.take_along_axis(x, labels, -1)
        return float(lost.max(initial=0.0)) / (_SLACK * self._coarsest(node))


def _signs(shape: tuple[int, ...]) -> Doubles:
    """1 and -1 in an order without pattern, always the same (Knuth's multiplicative hash of the position)."""
    hashed = np.arange(math.prod(shape), dtype=np.uint64) * np.uint64(2654435761) >> np.uint64(17)
    return (1.0 - 2.0 * (hashed & np.uint64(1)).astype(np.float64)).reshape(shape)
