"""Precision by speed: of the numbers that keep a net's outputs within tolerance, those that are fastest on a link.

`tacit.compile` takes the narrowest numbers that are precise enough, which is fastest while an activation follows every
linear layer. Where activations are gone it need not be: a narrow ring must bring values back to its precision after
every layer, which takes as many messages as an activation; a wide one lets two or three layers pass before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tacit.errors import Refused
from tacit.front.clear import run_clear
from tacit.front.compile import compile_model
from tacit.ir.graph import Graph
from tacit.net.shaper import Link
from tacit.plan.bill import Bill, make_bill
from tacit.plan.cost import Rates
from tacit.plan.measure import Reading
from tacit.plan.place import place
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy

__all__ = ["Compiled", "candidates", "compile_precise", "draft_bills", "error_of", "fastest", "precise"]

#: (ring, input_bits, weight_bits), coarser ones first; ring 0 is whatever values need, where coarser is faster.
_LADDER = ((32, 11, 14), (0, 11, 12), (0, 12, 14), (0, 12, 16), (0, 16, 20))
_SAMPLES = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Compiled:
    """A plan, the policy it was compiled under, and its outputs' error: root mean square over that of the outputs."""

    plan: Plan
    policy: Policy
    error: float


def candidates(policy: Policy) -> tuple[Policy, ...]:
    """The precisions to try under `policy`; the one that it says, if it says one or ranges are proven."""
    if policy.input_bits or policy.ring or policy.ranges == "proven":
        return (policy.settled(),)
    return tuple(replace(policy, ring=ring, input_bits=bits, weight_bits=weights) for ring, bits, weights in _LADDER)


def precise(graph: Graph, policy: Policy, seen: Mapping[str, float], inputs: Sequence[Array]) -> tuple[Policy, ...]:
    """The candidates whose integers stay within the policy's tolerance on `inputs`, examples of the graph's batch.

    Of those in rings as wide as values need the coarsest alone, which is the fastest; the finest of all, if none does.
    Raises Refused if none fits.
    """
    tried = candidates(policy)
    if len(tried) == 1:
        return tried
    bounds = {node: value * policy.margin for node, value in seen.items()}
    samples = list(inputs[:_SAMPLES])
    wanted = [run_clear(graph, x)[0] for x in samples]
    good: list[Policy] = []
    last: Policy | None = None
    refused: Refused | None = None
    for candidate in tried:
        try:
            reading = Reading(place(graph, replace(candidate, trust="clear"), bounds, seen))
        except Refused as problem:
            refused = problem
            continue
        last = candidate
        if _error([reading.outputs([x])[0] for x in samples], wanted) <= policy.tolerance:
            good.append(candidate)
            if not candidate.ring:
                break
    if last is None:
        assert refused is not None
        raise refused
    return tuple(good) or (last,)


def draft_bills(
    graph: Graph, policies: Sequence[Policy], seen: Mapping[str, float], link: Link, rates: Rates | None
) -> tuple[Bill, ...]:
    """The bill of `graph` under each policy that it fits, ranges as `seen`, without making its weights whole numbers.

    Raises Refused if it fits none.
    """
    made, refused = [], None
    for policy in policies:
        bounds = {node: value * policy.margin for node, value in seen.items()}
        try:
            placed = place(graph, policy, bounds, seen)
        except Refused as problem:
            refused = problem
            continue
        plan = Plan(tuple(placed.steps), dict(placed.inputs), dict(placed.limits), {}, "", "", graph)
        made.append(make_bill(plan, link, rates))
    if not made:
        assert refused is not None
        raise refused
    return tuple(made)


def compile_precise(graph: Graph, inputs: Sequence[Array], policy: Policy) -> tuple[Compiled, ...]:
    """The plans of `graph` whose measured error is within the policy's tolerance, as `precise` picks them.

    inputs   examples of the graph's batch, that ranges are observed on and the error is measured on

    If none is within it, the one that `tacit.compile` makes. Raises Refused.
    """
    tried, made = candidates(policy), []
    for candidate in tried:
        try:
            plan = compile_model(graph, inputs[0], policy=candidate, calibration=list(inputs))
        except Refused:
            continue
        found = error_of(plan, graph, inputs)
        if found <= policy.tolerance or len(tried) == 1:
            made.append(Compiled(plan, candidate, found))
            if not candidate.ring:
                break
    if made:
        return tuple(made)
    plan = compile_model(graph, inputs[0], policy=policy, calibration=list(inputs))
    return (Compiled(plan, policy, error_of(plan, graph, inputs)),)


def fastest(made: Sequence[Compiled], link: str, rates: Rates | None = None) -> Compiled:
    """The plan that answers soonest on `link`; of equals the first."""
    return min(made, key=lambda one: one.plan.bill(link, rates=rates).seconds())


def error_of(plan: Plan, graph: Graph, inputs: Sequence[Array]) -> float:
    """Root mean square error of the plan's integers on a few inputs, over that of the outputs."""
    samples = list(inputs[:_SAMPLES])
    reading = Reading.of(plan)
    return _error([reading.outputs([x])[0] for x in samples], [run_clear(graph, x)[0] for x in samples])


def _error(got: Sequence[Array], wanted: Sequence[Array]) -> float:
    lost = sum(float(((g - w) ** 2).sum()) for g, w in zip(got, wanted, strict=True))
    size = sum(float((w**2).sum()) for w in wanted)
    return math.sqrt(lost / size) if size else math.sqrt(lost)
