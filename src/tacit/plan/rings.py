"""Rings: each segment of a plan gets the narrowest that holds its openings; what remains goes to the weights."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from tacit import ops
from tacit.errors import Refusal, Refused
from tacit.plan.fixed import ceil_log2
from tacit.plan.policy import RINGS
from tacit.secure.multiply import PRODUCTS
from tacit.secure.session import Step

if TYPE_CHECKING:
    from tacit.plan.place import Placement

__all__ = ["LINEAR", "MAX_WEIGHT_BITS", "assign_rings", "chooses_ring", "spare_bits"]

#: Beyond this many fraction bits, weights stored as float32 have nothing more to give.
MAX_WEIGHT_BITS = 20
#: With fewer, a ring that was asked for is refused rather than a layer spoilt.
_LEAST_WEIGHT_BITS = 6

#: Products with the server's weights.
LINEAR = ("linear", "conv", "affine")
#: Gates that no operation of `tacit.ops` is named after.
_GATES = ("ranks", "labels", "sign", "choose", "iota", "spline")


def chooses_ring(step: Step) -> bool:
    """Whether the step's result is in a ring of its own: it is evaluated from opened values and masked afresh."""
    return step.op in _GATES or (step.op in ops.names() and getattr(ops.load(step.op), "evaluates", False))


def _segments(p: Placement) -> list[int]:
    """A name for the segment of each step: wires joined by anything but an evaluation."""
    parent = list(range(len(p.steps)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for step in p.steps:
        for i in () if chooses_ring(step) else step.inputs:
            parent[find(i)] = find(step.site)
    return [find(step.site) for step in p.steps]


def _needs(p: Placement, segment: list[int]) -> dict[int, int]:
    """The bits that the openings and outputs of each segment need, those that evaluations shift out included."""
    need: dict[int, int] = {}
    for step in p.steps:
        for opened in step.inputs if "shift" in step.attrs else ():
            need[segment[opened]] = max(need.get(segment[opened], 0), int(step.attrs["shift"]) + 2)
    for site, bound in p.limits.items():
        bits = ceil_log2(Fraction(bound) * p.wires[site].scale) + 2
        need[segment[site]] = max(need.get(segment[site], 0), bits)
    return need


def assign_rings(p: Placement) -> None:
    """Give each segment the narrowest ring allowed that holds its openings. Raises Refused if the policy's is too
    narrow for what a step shifts out.
    """
    segment = _segments(p)
    need = _needs(p, segment)
    allowed = (p.policy.ring,) if p.policy.ring else RINGS
    for step in p.steps:
        if "ring" in step.attrs:
            wanted = need.get(segment[step.site], 0)
            if wanted > allowed[-1]:
                what = f"the precision dropped after it takes a ring of {wanted} bits, and {allowed[-1]} are allowed"
                raise Refused([Refusal("not yet", step.node, what, "Lower policy.weight_bits, or widen policy.ring.")])
            ring = next(k for k in allowed if k >= wanted)
            p.steps[step.site] = replace(step, attrs={**step.attrs, "ring": ring})
            if step.site in p.inputs:
                p.inputs[step.site] = replace(p.inputs[step.site], ring=ring)


def spare_bits(p: Placement, ring: int = 0) -> dict[str, int]:
    """Bits that each linear layer's weights may have beyond the policy's, by node: what its segment's ring leaves free,
    shared by the layers that follow each other there, and never more than floats have to give.

    With `ring`, what a ring of so many bits would leave: less than nothing where it is too narrow for the policy's.
    """
    segment, most = _segments(p), MAX_WEIGHT_BITS - p.policy.weight_bits
    need = _needs(p, segment)
    rings = {segment[s.site]: int(s.attrs["ring"]) for s in p.steps if "ring" in s.attrs}
    depth: list[int] = []
    for step in p.steps:
        inner = [depth[i] for i in step.inputs if segment[i] == segment[step.site]]
        # Scales multiply in a product, so that bits given to either operand add up.
        depth.append((sum(inner) if step.op in PRODUCTS else max(inner, default=0)) + (step.op in LINEAR))
    deepest: dict[int, int] = {}
    for step in p.steps:
        deepest[segment[step.site]] = max(deepest.get(segment[step.site], 1), depth[step.site])
    out = {}
    for step in p.steps:
        if step.op in LINEAR:
            s = segment[step.site]
            free = (ring or rings[s]) - need.get(s, ring or rings[s])
            # What is proven counts with the policy's roundings, so that it allows none that are coarser.
            may_drop = ring and p.policy.ranges != "proven"
            least = min(0, _LEAST_WEIGHT_BITS - p.policy.weight_bits) if may_drop else 0
            out[step.node] = max(least, min(most, free // deepest[s]))
    return out
