"""An additive model of cost: a base, and for every site what each choice adds, fitted on a few variants.

It is right on average only. Neighbours are not independent: values grow finer with every linear layer, and where two or
three layers follow each other without an activation the plan must bring values back to their precision, with as many
messages as an activation takes. `refine` corrects it with bills.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tacit.codesign.search.choices import EXACT, Assignment, check_choices, everywhere

__all__ = ["Additive", "fit_additive", "probes"]

Seconds = Callable[[Assignment], float]


@dataclass(frozen=True)
class Additive:
    """Predicted seconds as `base` plus `change[site][choice]` over all sites; the model's own activations add nothing.

    `error` is the mean relative error over the variants that it was fitted on, `largest` the largest, `fitted` their
    number.
    """

    base: float
    change: Mapping[str, Mapping[str, float]]
    error: float
    largest: float
    fitted: int

    def seconds(self, assignment: Assignment) -> float:
        """What the model says that `assignment` costs."""
        return self.base + math.fsum(self.change[site][choice] for site, choice in assignment.items())


def probes(sites: Sequence[str], choices: Sequence[str]) -> Iterator[dict[str, str]]:
    """The variants to place: one choice everywhere, each site changed alone, and as many drawn at random.

    There are K + 2 S (K - 1) of them at most for S sites and K choices. Those drawn are the same each time; they show
    what a change costs among neighbours that change too.
    """
    _, *others = check_choices(choices)
    made = [everywhere(sites, choice) for choice in (EXACT, *others)]
    singles = [{**everywhere(sites), site: choice} for choice in others for site in sites]
    drawn = np.random.default_rng(len(singles)).choice([EXACT, *others], (len(singles), len(sites)))
    mixed = [dict(zip(sites, map(str, row), strict=True)) for row in drawn]
    yield from {tuple(variant.values()): variant for variant in (*made, *singles, *mixed)}.values()


def fit_additive(
    sites: Sequence[str],
    choices: Sequence[str],
    seconds: Seconds,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Additive:
    """The least-squares fit to `seconds` of the variants of `probes`; `progress` is told how many of how many are done.

    Raises InvalidInput for choices that are none.
    """
    _, *others = check_choices(choices)
    wanted = list(probes(sites, choices))
    columns = {(site, choice): 1 + i for i, (site, choice) in enumerate((s, c) for s in sites for c in others)}
    matrix = np.zeros((len(wanted), 1 + len(columns)))
    matrix[:, 0] = 1.0
    measured = np.zeros(len(wanted))
    for row, assignment in enumerate(wanted):
        for site, choice in assignment.items():
            if choice != EXACT:
                matrix[row, columns[site, choice]] = 1.0
        measured[row] = seconds(assignment)
        if progress is not None:
            progress(row + 1, len(wanted))
    found, *_ = np.linalg.lstsq(matrix, measured, rcond=None)
    errors = np.abs(matrix @ found - measured) / measured
    change = {s: {EXACT: 0.0, **{c: float(found[columns[s, c]]) for c in others}} for s in sites}
    return Additive(float(found[0]), change, float(errors.mean()), float(errors.max()), len(wanted))
