"""Choices: what may stand at an activation site, by name, and assignments of one to every site."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from tacit.errors import InvalidInput

__all__ = ["CHOICES", "EXACT", "IDENTITY", "Assignment", "check_choices", "counts", "degree", "everywhere"]

EXACT, IDENTITY = "exact", "identity"
#: What a search considers unless told: the model's own activation, a quartic, none.
CHOICES = (EXACT, "poly4", IDENTITY)

#: The choice at every site, by the site's name.
Assignment: TypeAlias = Mapping[str, str]
_POLYNOMIAL = re.compile(r"poly([2-6])")


def degree(choice: str) -> int | None:
    """The degree that a choice such as "poly4" names; None for "exact" and "identity". Raises InvalidInput."""
    if choice in (EXACT, IDENTITY):
        return None
    match = _POLYNOMIAL.fullmatch(choice)
    if match is None:
        raise InvalidInput(f'{choice!r} is no choice for a site; there are "exact", "identity" and "poly2" to "poly6"')
    return int(match[1])


def check_choices(choices: Sequence[str]) -> tuple[str, ...]:
    """`choices` without repetitions, "exact" first, which must be among two at least. Raises InvalidInput."""
    for choice in choices:
        degree(choice)
    rest = tuple(dict.fromkeys(c for c in choices if c != EXACT))
    if EXACT not in choices or not rest:
        raise InvalidInput('a search needs "exact" and another choice, such as "identity" or "poly4"')
    return (EXACT, *rest)


def everywhere(sites: Iterable[str], choice: str = EXACT) -> dict[str, str]:
    """The same choice at every site."""
    return dict.fromkeys(sites, choice)


def counts(assignment: Assignment, sizes: Mapping[str, int]) -> dict[str, int]:
    """Values an inference evaluates exactly, as polynomials, and passes on: {"exact": n, "poly": n, "identity": n}."""
    out = {EXACT: 0, "poly": 0, IDENTITY: 0}
    for site, choice in assignment.items():
        out["poly" if degree(choice) else choice] += sizes[site]
    return out
