"""Refinement: where single costs do not add up, neighbours are found that beat the additive choice."""

from __future__ import annotations

from itertools import product

import pytest

from tacit.codesign.search.choices import EXACT, IDENTITY, Assignment
from tacit.codesign.search.choose import Chosen
from tacit.codesign.search.refine import refined

SITES = ("a", "b", "c", "d")
HARMS = {site: {EXACT: 0.0, IDENTITY: harm} for site, harm in zip(SITES, (0.1, 0.5, 0.2, 0.3), strict=True)}


def _seconds(assignment: Assignment) -> float:
    """An activation costs 1; so does bringing back a value that has passed two sites."""
    total, passed = 1.0, 0
    for site in SITES:
        if assignment[site] == EXACT or passed == 2:
            total, passed = total + 1.0, 0
        else:
            passed += 1
    return total


def _chosen(*kept: str) -> Chosen:
    assignment = {site: EXACT if site in kept else IDENTITY for site in SITES}
    return Chosen(0.0, sum(HARMS[s][c] for s, c in assignment.items()), assignment)


def test_an_activation_that_is_free_is_kept() -> None:
    """Without any activation the value is brought back at c; with b exact it need not be, for the same seconds."""
    found = refined([_chosen()], HARMS, _seconds)
    least = min(found, key=lambda c: c.cost)
    assert least.assignment == {**dict.fromkeys(SITES, IDENTITY), "b": EXACT}
    assert (least.cost, least.harm) == (_seconds(_chosen().assignment), pytest.approx(0.6))


def test_from_every_start_the_true_front_is_found() -> None:
    starts = [_chosen(*(s for s, kept in zip(SITES, bits, strict=True) if kept)) for bits in product((0, 1), repeat=4)]
    found = {(c.cost, round(c.harm, 9)) for c in refined(starts, HARMS, _seconds)}
    every = {(_seconds(s.assignment), round(s.harm, 9)) for s in starts}
    assert found == {p for p in every if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in every)}


def test_each_assignment_is_priced_once() -> None:
    seen: list[tuple[str, ...]] = []

    def priced(assignment: Assignment) -> float:
        seen.append(tuple(assignment[s] for s in SITES))
        return _seconds(assignment)

    steps: list[tuple[int, int]] = []
    refined([_chosen(), _chosen("a"), _chosen()], HARMS, priced, told=lambda d, t: steps.append((d, t)))
    assert len(seen) == len(set(seen))
    assert steps == [(1, 3), (2, 3), (3, 3)]
