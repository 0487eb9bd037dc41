"""The ladder: each layer of a model on each rung, from the reference's floats to the private run.

    model      the reference model -> the plan's own graph, both in float64
    fixed      the graph in float64 -> the plan's integers, in the clear
    private    the graph in float64 -> what the parties' shares add up to

On every rung a layer's own part in the error is measured apart: what it makes of the inputs that reached it, against
what it should make of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tacit import ops
from tacit.errors import InvalidInput
from tacit.front.gap import Gap
from tacit.front.layers import Values, expected, fixed_values, float_values, keeping, layer_sites, own_weights
from tacit.front.rounding import Rounding
from tacit.ir.graph import Graph, Node
from tacit.plan.plan import Plan
from tacit.run.simulate import simulate

__all__ = ["RUNGS", "Ladder", "Rung", "RungName"]

RungName = Literal["model", "fixed", "private"]
RUNGS: tuple[RungName, ...] = ("model", "fixed", "private")
Batch = Sequence[NDArray[np.float64]]


@dataclass
class Rung:
    """One layer on one rung: `whole` is its difference with all that came before, `own` its own part of it.

    `saturated` counts values beyond the plan's range, `unexplained` is its own error over the most that the plan's
    rounding explains (above 1 is a fault), and `broken` says why it could not be compared at all.
    """

    whole: Gap = field(default_factory=Gap)
    own: Gap = field(default_factory=Gap)
    saturated: int = 0
    unexplained: float = 0.0
    broken: str = ""

    def data(self) -> dict[str, Any]:
        """JSON data: that of `whole`, and `own_nrmse`, `saturated`, `unexplained`, `broken`."""
        own = self.own.nrmse
        return {
            **self.whole.data(),
            "own_nrmse": own if math.isfinite(own) else None,
            "saturated": self.saturated,
            "unexplained": self.unexplained if math.isfinite(self.unexplained) else None,
            "broken": self.broken,
        }


class Ladder:
    """The measurements of a plan, batch by batch. `rungs[name][node]` is a Rung; layers are in the graph's order."""

    def __init__(self, plan: Plan, reference: Graph | None, pairs: Mapping[str, str], *, private: bool) -> None:
        if plan.graph is None:
            raise InvalidInput("comparing needs the owner's plan, with weights; this is the public half")
        self.graph = plan.graph
        present = {"model": reference is not None, "fixed": True, "private": private}
        self.rungs: dict[RungName, dict[str, Rung]] = {name: {} for name in RUNGS if present[name]}
        self._plan, self._reference, self._pairs = plan, reference, pairs
        self._rounding = Rounding(plan)
        self._limits = _ranges(plan)

    def climb(self, batch: Batch, *, threads: int = 1) -> None:
        """Measure one batch, one array per input, on every rung. Raises InvalidInput."""
        floats = float_values(self.graph, batch)
        if self._reference is not None:
            self._model(batch, floats)
        # Inputs beyond the plan's range are counted, and cut there, or the runs would refuse them.
        within = [
            np.clip(x, -self._limits[n.id], self._limits[n.id]) for x, n in zip(batch, self.graph.inputs, strict=True)
        ]
        for node, x in zip(self.graph.inputs, batch, strict=True):
            beyond = int(np.count_nonzero(np.abs(x) > self._limits[node.id]))
            self._at("fixed", node.id).saturated += beyond
        self._integers("fixed", fixed_values(self._plan, within, threads=threads), floats)
        if "private" in self.rungs:
            values: Values = {}
            simulate(self._plan, *within, threads=threads, record=keeping(self._plan, values))
            self._integers("private", values, floats)

    def _at(self, name: RungName, node: str) -> Rung:
        return self.rungs[name].setdefault(node, Rung())

    def _integers(self, name: RungName, values: Values, floats: Values) -> None:
        """A run's values against the graph's, and each layer's own part."""
        for node in self.graph.nodes:
            if node.id not in values:
                continue
            rung = self._at(name, node.id)
            rung.whole.add(values[node.id], floats[node.id])
            want = expected(self.graph, node, values)
            if want is None:
                rung.own.add(values[node.id], floats[node.id])
                continue
            rung.own.add(values[node.id], want)
            rung.unexplained = max(rung.unexplained, self._rounding.unexplained(node, values, want))
            if node.id in self._limits:
                rung.saturated += int(np.count_nonzero(np.abs(want) > self._limits[node.id]))

    def _model(self, batch: Batch, floats: Values) -> None:
        """The plan's graph against the reference, each of its layers also on the reference's own values."""
        assert self._reference is not None
        wanted = float_values(self._reference, batch)
        given: Values = {}
        for node in self.graph.nodes:
            twin = self._pairs.get(node.id)
            made, broken = self._made(node, given, floats)
            if twin is None:
                if made is not None:
                    given[node.id] = made
                continue
            rung, want = self._at("model", node.id), wanted[twin]
            given[node.id] = want
            if made is None or made.shape != want.shape:
                rung.broken = broken or f"its shape is {floats[node.id].shape}, the reference's {want.shape}"
                continue
            rung.own.add(made, want)
            if floats[node.id].shape == want.shape:
                rung.whole.add(floats[node.id], want)

    def _made(self, node: Node, given: Values, floats: Values) -> tuple[NDArray[np.float64] | None, str]:
        """What the plan's layer makes of the reference's values; None, and why, where they do not fit it."""
        if node.op == "input":
            return floats[node.id], ""
        if not all(i in given for i in node.inputs):
            return None, "its inputs have other shapes than in the reference"
        try:
            own = own_weights(self.graph, node)
            shapes = {slot: w.shape for slot, w in own.items()}
            ops.infer(node.op, node.attrs, tuple(given[i].shape for i in node.inputs), shapes)
            return ops.load(node.op).clear(node.attrs, own, *(given[i] for i in node.inputs)), ""
        except (InvalidInput, ValueError, IndexError) as error:
            return None, f"it cannot read what the reference's layers make: {error}"


def _ranges(plan: Plan) -> dict[str, float]:
    """The bound that the plan states for a layer's values, where it states one."""
    sites = {site: node for node, site in layer_sites(plan).items()}
    found: dict[str, float] = {}
    for step in plan.steps:
        read = step.site if step.op == "mask" else step.inputs[0]
        if step.op in ("mask", "open", "reveal") and read in sites and step.site in plan.ranges:
            node = sites[read]
            found[node] = min(found.get(node, math.inf), plan.ranges[step.site])
    return found
