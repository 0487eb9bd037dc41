"""Repeats: one training run for each of several seeds, since one seed says little; their mean and spread."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tacit.errors import InvalidInput

__all__ = ["Repeats", "Spread", "repeat"]

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """A measure over seeds; `deviation` is the sample standard deviation, 0 for one value."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The sample standard deviation."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def least(self) -> float:
        """The least value."""
        return min(self.values)

    @property
    def largest(self) -> float:
        """The largest value."""
        return max(self.values)

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.deviation:.2g}" if len(self.values) > 1 else f"{self.mean:.4g}"


@dataclass(frozen=True)
class Repeats(Generic[T]):
    """The outcomes by seed, in the order of the seeds."""

    outcomes: dict[int, T]

    def spread(self, measure: Callable[[T], float]) -> Spread:
        """A measure of every outcome, such as `lambda o: o.test.top1`."""
        return Spread(tuple(measure(outcome) for outcome in self.outcomes.values()))


def repeat(run: Callable[[int], T], seeds: Sequence[int] = (1, 2, 3)) -> Repeats[T]:
    """`run(seed)` for every seed, one after the other. Raises InvalidInput for no seed or a seed given twice."""
    if not seeds or len(set(seeds)) != len(seeds):
        raise InvalidInput(f"repeats need one or more different seeds, not {list(seeds)}")
    return Repeats({seed: run(seed) for seed in seeds})
