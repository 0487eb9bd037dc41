"""How far one run lies from another, layer by layer, in numbers that add up over batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Gap"]


@dataclass
class Gap:
    """The difference of one array from another, gathered over batches by `add`.

    nRMSE is sqrt(mean d^2) / max(range of either); 0 for equal constants and infinite for different ones (ML-EXray,
    MLSys 2022). `flips` counts values of opposite sign.
    """

    count: int = 0
    squares: float = 0.0
    largest: float = 0.0
    flips: int = 0
    got: tuple[float, float] = (math.inf, -math.inf)
    want: tuple[float, float] = (math.inf, -math.inf)

    def add(self, got: NDArray[np.float64], want: NDArray[np.float64]) -> None:
        """One batch of both, of equal shapes."""
        difference = got - want
        self.count += difference.size
        self.squares += float((difference**2).sum())
        self.largest = max(self.largest, float(np.abs(difference).max(initial=0.0)))
        self.flips += int(np.count_nonzero(got * want < 0))
        self.got, self.want = _wider(self.got, got), _wider(self.want, want)

    @property
    def rms(self) -> float:
        """The root mean square difference."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    @property
    def nrmse(self) -> float:
        """`rms` over the wider of both ranges."""
        spread = max(self.got[1] - self.got[0], self.want[1] - self.want[0]) if self.count else 0.0
        if spread > 0:
            return self.rms / spread
        return 0.0 if self.rms == 0 else math.inf

    def data(self) -> dict[str, Any]:
        """JSON data: `nrmse` (null: infinite), `max_error`, `sign_flips` (share of the values)."""
        return {
            "nrmse": self.nrmse if math.isfinite(self.nrmse) else None,
            "max_error": self.largest,
            "sign_flips": self.flips / self.count if self.count else 0.0,
        }


def _wider(known: tuple[float, float], values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = known
    return min(low, float(values.min(initial=math.inf))), max(high, float(values.max(initial=-math.inf)))
