"""The policies that nets are measured under, by name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from tacit.errors import Refused
from tacit.ir.graph import Graph
from tacit.plan.place import Placement, place
from tacit.plan.policy import Policy

__all__ = ["POLICIES", "fitted", "named"]

_WEIGHT_BITS, _FEWEST_BITS = 13, 8
#: What each policy asks for beyond the default. Those in a ring of 32 bits get their precision from `fitted`.
POLICIES: dict[str, dict[str, float | str]] = {
    "auto": {},
    "ring32": {"ring": 32, "margin": 2.0},
    "exact32": {"ring": 32, "margin": 2.0, "window": "exact"},
    "windowed": {"ring": 32, "margin": 2.0, "window": 20},
    "ring40": {"ring": 40, "input_bits": 16},
    "ring44": {"ring": 44, "input_bits": 16},
    "ring64": {"ring": 64, "input_bits": 16},
}
_FITTED_RING = 32


def named(name: str, graph: Graph, seen: Mapping[str, float]) -> Policy:
    """The policy called `name` for a graph whose largest magnitudes by node are `seen`. KeyError if there is none.

    Raises Refused if the graph does not fit its ring.
    """
    policy = Policy(weight_bits=_WEIGHT_BITS, **POLICIES[name])  # type: ignore[arg-type]
    return fitted(policy, graph, seen) if policy.ring == _FITTED_RING else policy


def fitted(policy: Policy, graph: Graph, seen: Mapping[str, float]) -> Policy:
    """`policy` with the most fraction bits, halved between inputs and weights, that need no opening to truncate.

    An opening holds values below 2^(ring - 2) at the scale of a product, which pools make finer than inputs and weights
    together: bits are taken away until at most one opening in a hundred only truncates. Raises Refused if none fits.
    """
    bounds = {node: value * policy.margin for node, value in seen.items()}
    most = policy.ring - 2 - math.ceil(math.log2(max(bounds.values())))
    openings = {}
    refused: Refused | None = None
    for tried in _halved(policy, most):
        try:
            openings[tried] = _openings(place(graph, tried, bounds, seen))
        except Refused as error:
            refused = error
    if not openings:
        raise refused or Refused([])
    enough = min(openings.values()) * 1.01
    return next(tried for tried in openings if openings[tried] <= enough)


def _halved(policy: Policy, most: int) -> Iterator[Policy]:
    """`most` fraction bits in all, and down to six fewer."""
    for bits in range(most, max(most - 7, _FEWEST_BITS - 1), -1):
        yield replace(policy, input_bits=min(24, bits // 2), weight_bits=min(24, (bits + 1) // 2))


def _openings(placed: Placement) -> int:
    """How many values the plan would open."""
    return sum(placed.wires[step.site].count for step in placed.steps if step.op == "open")
