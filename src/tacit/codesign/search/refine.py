"""Refinement: choices of the additive model priced by compiled plans, and improved by single changes.

Costs of neighbours are not independent. Values grow finer with every linear layer, and where no activation has brought
them back for two or three layers the plan must, with as many messages as an activation takes: an activation that stands
there is free. Single changes find such places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from tacit.codesign.search.choices import Assignment
from tacit.codesign.search.choose import Chosen, Table

__all__ = ["refined"]


def refined(
    starts: Sequence[Chosen],
    harms: Table,
    seconds: Callable[[Assignment], float],
    *,
    sweeps: int = 3,
    told: Callable[[int, int], None] | None = None,
) -> tuple[Chosen, ...]:
    """Every assignment that none of those looked at beats in compiled `seconds` and additive harm, cheapest first.

    Each of `starts` walks, at most `sweeps` steps, to the neighbour (one site changed) that harms least of those that
    beat it; all that are met on the way count. `told` is told how many of the starts are done.
    """
    known: dict[tuple[str, ...], Chosen] = {}
    sites = list(harms)

    def priced(assignment: Mapping[str, str]) -> Chosen:
        key = tuple(assignment[site] for site in sites)
        if key not in known:
            harm = sum(harms[site][assignment[site]] for site in sites)
            known[key] = Chosen(seconds(assignment), harm, dict(zip(sites, key, strict=True)))
        return known[key]

    for number, start in enumerate(starts):
        at = priced(start.assignment)
        for _ in range(sweeps):
            around = [priced(a) for a in _neighbours(at.assignment, harms)]
            better = [c for c in around if _beats(c, at)]
            if not better:
                break
            at = min(better, key=lambda c: (c.harm, c.cost))
        if told is not None:
            told(number + 1, len(starts))
    return _front(known.values())


def _neighbours(assignment: Mapping[str, str], harms: Table) -> list[dict[str, str]]:
    """Every assignment with one site changed."""
    return [{**assignment, site: choice} for site, row in harms.items() for choice in row if choice != assignment[site]]


def _beats(one: Chosen, other: Chosen) -> bool:
    return one.cost <= other.cost and one.harm <= other.harm and (one.cost, one.harm) != (other.cost, other.harm)


def _front(found: Iterable[Chosen]) -> tuple[Chosen, ...]:
    out: list[Chosen] = []
    for chosen in sorted(found, key=lambda c: (c.cost, c.harm)):
        if not out or chosen.harm < out[-1].harm:
            out.append(chosen)
    return tuple(out)
