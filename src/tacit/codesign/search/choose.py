"""The choice: one option for every site under a budget, by exact dynamic programming over what nothing dominates.

This is the multiple-choice knapsack problem (Kellerer, Pferschy and Pisinger, Knapsack Problems, 2004, chapter 11). The
sites are taken one after the other; of the partial choices only those survive that no other beats in cost and harm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tacit.errors import InvalidInput

__all__ = ["Chosen", "Table", "cheapest", "frontier", "least_harm", "spread"]

#: What every choice costs, or harms, at every site.
Table = Mapping[str, Mapping[str, float]]
#: Partial choices kept at a time; beyond it, the finest differences in cost are dropped.
_KEPT = 20_000


@dataclass(frozen=True)
class Chosen:
    """An assignment with the sums of its costs and of its harms."""

    cost: float
    harm: float
    assignment: Mapping[str, str]


@dataclass(frozen=True)
class _Partial:
    cost: float
    harm: float
    choice: str
    before: _Partial | None


def frontier(costs: Table, harms: Table, *, base: float = 0.0, kept: int = _KEPT) -> tuple[Chosen, ...]:
    """Every assignment that none beats in total cost and total harm at once, cheapest first.

    costs, harms  by site and choice, over the same sites and choices; negative numbers are savings
    base          added to every cost
    kept          partial choices kept; only when more survive is the result not exact: it then is within
                  (range of costs) x (sites) / `kept` of it in cost

    Raises InvalidInput when the tables do not agree, are empty or hold anything but finite numbers.
    """
    _check(costs, harms)
    alive = [_Partial(base, 0.0, "", None)]
    for site, options in costs.items():
        grown = [
            _Partial(partial.cost + cost, partial.harm + harms[site][choice], choice, partial)
            for partial in alive
            for choice, cost in options.items()
        ]
        alive = _thinned(_undominated(grown), kept)
    return tuple(Chosen(p.cost, p.harm, _unrolled(p, list(costs))) for p in alive)


def _undominated(partials: list[_Partial]) -> list[_Partial]:
    best, out = math.inf, []
    for partial in sorted(partials, key=lambda p: (p.cost, p.harm)):
        if partial.harm < best:
            out.append(partial)
            best = partial.harm
    return out


def _thinned(partials: list[_Partial], kept: int) -> list[_Partial]:
    """The first and last, and the least harmful of each of `kept` equal steps of cost, if there are more than that."""
    if len(partials) <= kept:
        return partials
    low, high = partials[0].cost, partials[-1].cost
    cells = {int((p.cost - low) / (high - low) * (kept - 2)): p for p in partials}
    return [partials[0], *(p for p in cells.values() if p is not partials[0])]


def _unrolled(partial: _Partial, sites: list[str]) -> dict[str, str]:
    found: list[str] = []
    while partial.before is not None:
        found.append(partial.choice)
        partial = partial.before
    return dict(zip(sites, reversed(found), strict=True))


def least_harm(front: Sequence[Chosen], cost: float) -> Chosen:
    """The least harmful assignment of a frontier that costs at most `cost`. Raises InvalidInput if none is so cheap."""
    within = [chosen for chosen in front if chosen.cost <= cost]
    if not within:
        raise InvalidInput(f"no choice costs as little as {cost:g}; the cheapest costs {front[0].cost:g}")
    return within[-1]


def cheapest(front: Sequence[Chosen], harm: float) -> Chosen:
    """The cheapest assignment of a frontier that harms at most `harm`. Raises InvalidInput if none harms so little."""
    within = [chosen for chosen in front if chosen.harm <= harm]
    if not within:
        raise InvalidInput(f"no choice harms as little as {harm:g}; the best harms {front[-1].harm:g}")
    return within[0]


def spread(front: Sequence[Chosen], count: int) -> tuple[Chosen, ...]:
    """At most `count` of a frontier, evenly spaced in cost between its ends, which are among them if two may be.

    Raises InvalidInput for a count below 1.
    """
    if count < 1:
        raise InvalidInput(f"a frontier has 1 point or more, not {count}")
    if count == 1:
        return (front[-1],)
    low, high = front[0].cost, front[-1].cost
    picked = [least_harm(front, low + (high - low) * i / (count - 1)) for i in range(count - 1)]
    return tuple({id(chosen): chosen for chosen in (*picked, front[-1])}.values())


def _check(costs: Table, harms: Table) -> None:
    if not costs or {s: set(o) for s, o in costs.items()} != {s: set(o) for s, o in harms.items()}:
        raise InvalidInput("costs and harms must be of the same sites and choices, one site at least")
    for table in (costs, harms):
        if not all(options and all(map(math.isfinite, options.values())) for options in table.values()):
            raise InvalidInput("costs and harms must be finite numbers, one choice a site at least")
