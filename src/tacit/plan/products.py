"""The operands of a product of two secrets: truncated first where that is needed or cheaper, then opened."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING

from tacit.ir.graph import Node
from tacit.plan.fixed import ceil_log2
from tacit.plan.policy import RINGS

if TYPE_CHECKING:
    from tacit.plan.place import Placement

__all__ = ["factors"]

Choice = frozenset[int]

#: Bits of a truncation's material, a value.
_TAG = 256
#: Bits that are not worth a round trip: 64 KiB, some 5 ms at 100 Mbit/s.
_ROUND_TRIP = 1 << 19


def factors(p: Placement, sites: list[int], node: Node) -> list[int]:
    """The opened operands of the product `node`, those that it needs at the resolution truncated."""
    chosen = _cheapest(p, sites, node)
    pairs = [
        (p.truncated(site, node.id, source) if site in chosen else site, source)
        for site, source in zip(sites, node.inputs, strict=True)
    ]
    return [p.opened(site, source, source, p.bound(source)) for site, source in pairs]


def _cheapest(p: Placement, sites: list[int], node: Node) -> Choice:
    """The operands to truncate: of the choices that fit a ring that which sends least, all of them if none fits."""
    grown = [site for site in dict.fromkeys(sites) if p.wires[site].scale > 1 << p.resolution]
    choices = [frozenset(c) for size in range(len(grown) + 1) for c in combinations(grown, size)]
    costs = {choice: _traffic(p, sites, node, choice) for choice in choices}
    fitting = {choice: cost for choice, cost in costs.items() if cost is not None}
    return min(fitting, key=lambda choice: (fitting[choice], len(choice))) if fitting else choices[-1]


def _ring(p: Placement, needs: Iterable[tuple[Fraction, float]]) -> int | None:
    """The narrowest ring for values of these scales and bounds; None if there is none."""
    bits = max(ceil_log2(Fraction(bound) * scale) + 2 for scale, bound in needs)
    allowed = (p.policy.ring,) if p.policy.ring else RINGS
    return next((k for k in allowed if k >= bits), None)


def _traffic(p: Placement, sites: list[int], node: Node, truncated: Choice) -> int | None:
    """Bits that the product and its truncations send in all phases, up to the opening of the result, and a charge for
    the round trip that truncating adds; None where no ring holds it.
    """
    fine, bounds = Fraction(1 << p.resolution), [p.bound(source) for source in node.inputs]
    scales = [fine if site in truncated else p.wires[site].scale for site in sites]
    ring = _ring(p, [*zip(scales, bounds, strict=True), (scales[0] * scales[1], p.bound(node.id))])
    if ring is None:
        return None
    total = 4 * ring * prod(node.shape)  # its correction, its mask, and twice for its own opening later
    for site, bound in dict(zip(sites, bounds, strict=True)).items():
        total += 2 * ring * p.wires[site].count
        if site in truncated:
            opened = _ring(p, [(p.wires[site].scale, bound)]) or RINGS[-1]
            total += (2 * opened + _TAG + ring) * p.wires[site].count
    return total + (_ROUND_TRIP if truncated else 0)
