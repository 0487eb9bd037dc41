"""Piecewise polynomials in whole numbers, as sums of differences: the exact meaning of a spline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["piecewise"]


def piecewise(knots: Sequence[int], coeffs: Sequence[Sequence[int]], u: NDArray[np.int64]) -> NDArray[np.int64]:
    """P_0(u) + the sum of (P_i - P_(i-1))(u) over the knots t_i <= u, of the shape of u.

    `coeffs` holds P_0 and the differences, each from the constant up. Exact if the result has less than 64 bits,
    whatever the terms have, since everything is mod 2^64.
    """
    total = np.zeros(u.shape, np.int64)
    for i, row in enumerate(coeffs):
        value = np.zeros(u.shape, np.int64)
        for c in reversed(row):
            value = value * u + np.int64(c)
        total += value if i == 0 else np.where(u >= knots[i - 1], value, 0)
    return total
