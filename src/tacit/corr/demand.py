"""A Demand: one described, single-use piece of offline material, and what an ideal dealer would hand out for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds

__all__ = ["Demand"]

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Demand(ABC):
    """One piece of material for the plan step `site`. Frozen and public: it says sizes, never values."""

    site: int

    #: Whether stored parts are needed online; if not, priming uses them up.
    lasting: ClassVar[bool] = True

    @property
    @abstractmethod
    def label(self) -> str:
        """The name of the stored part, unique within a plan: "site/kind"."""

    @abstractmethod
    def stored(self, rank: int) -> int:
        """Bytes that party `rank` must store because they cannot come from a seed; 0 if everything can."""

    @abstractmethod
    def ideal(self, seeds: Seeds, rank: int, *given: Any, threads: int = 1) -> NDArray[np.uint8] | Words:
        """The part of party `rank`, for the wire presets and tensors in `given`, arrays of ring
        elements.

        Everything random comes from `seeds`, of which an ideal dealer holds both halves. Only called where
        `stored(rank)` is not 0; returns exactly that many bytes. The parts of both parties are functions of the
        same seeds, so that they may be made at different times.
        """

    def pair(self, seeds: Seeds, *given: Any, threads: int = 1) -> dict[int, Any]:
        """The parts of both parties by rank, where each has one: to be overridden where they have work in common."""
        return {rank: self.ideal(seeds, rank, *given, threads=threads) for rank in (0, 1) if self.stored(rank)}
