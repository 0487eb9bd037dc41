"""Splines: how a smooth function becomes piecewise polynomials in integers, with a measured largest error.

The pieces are found greedily, each as long as its error allows, with coefficients that are rounded one after the other,
the highest power first and the rest fitted anew to what is left. Degree and precision are those that make the least
material. Everything is deterministic: two compilations of one model make one plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ir.curves import Curve, curve
from tacit.plan.fixed import ceil_log2
from tacit.ring.piecewise import piecewise

__all__ = ["MAX_COEFF_BITS", "MAX_PIECES", "Spline", "fit_spline", "spline_bits"]

Doubles = NDArray[np.float64]

#: One more than the knots that a plan may have.
MAX_PIECES = 65
#: Bits of a coefficient, sign included.
MAX_COEFF_BITS = 62
_POINTS = 33  # where a piece is looked at while it is fitted
_DEGREES = (2, 1, 3)
#: The finest that is tried: beyond, the roundings of coefficients do not matter any more. Where errors are relative,
#: pieces far from zero are long and need more.
_PRECISION = {False: {1: 30, 2: 40, 3: 46}, True: {1: 44, 2: 60, 3: 60}}
_HALVINGS = 4
_GRID = 1 << 17  # arguments at which the error is measured, if there are not fewer


@dataclass(frozen=True)
class Spline:
    """A function on tags u = value >> shift, as integers.

    knots        t_1 < ... < t_n, in tags
    coeffs       of P_0 and of the differences P_i - P_(i-1), from the constant up: the result is their sum >> trunc
    value_bits   a bound of log2 of the magnitude before that (`spline_bits`)
    bytes        of the words that make the truncation fail with the probability allowed, or less
    domain       tags for which this holds, ends included
    error        largest deviation of the result from the function anywhere in the domain, coins included; relative
                 where the function says so
    """

    shift: int
    knots: tuple[int, ...]
    coeffs: tuple[tuple[int, ...], ...]
    trunc: int
    value_bits: float
    bytes: int
    domain: tuple[int, int]
    error: float


def _reference() -> tuple[Doubles, list[Doubles]]:
    """Chebyshev's points of [-1, 1], and rows that give the leading coefficient of the best fit of each degree."""
    points = np.sin(np.linspace(-math.pi / 2, math.pi / 2, _POINTS))
    return points, [np.linalg.pinv(np.vander(points, j + 1, increasing=True))[j] for j in range(max(_DEGREES) + 1)]


_AT, _LEADING = _reference()


@dataclass(frozen=True)
class _Task:
    """What is fitted: f(u / tag) for tags u of [low, high], in units of 2^-precision."""

    curve: Curve
    tag: float
    low: int
    high: int
    precision: int

    def piece(self, start: int, end: int, degree: int) -> tuple[float, list[int]]:
        """The error (real, relative if so counted) and the coefficients around the middle of tags start ... end."""
        half = (end - start) / 2
        middle = (start + end) // 2
        z = (start - middle) + half + half * _AT
        value = self.curve.function((z + middle) / self.tag)
        left = np.ldexp(value, self.precision)
        coeffs = [0] * (degree + 1)
        for j in range(degree, 0, -1):
            coeffs[j] = round(float(_LEADING[j] @ left) / half**j) if half else 0
            left = left - coeffs[j] * z**j
        coeffs[0] = round(float(left.max() + left.min()) / 2)
        error = np.ldexp(np.abs(left - coeffs[0]), -self.precision)
        return float((error / self.curve.sizes(value)).max()), coeffs

    def _near_ends(self, start: int, end: int, coeffs: list[int]) -> float:
        """The error of a piece close to its ends, where the points of a long one lie too far apart."""
        if end - start < 2 * _POINTS:
            return 0.0
        away = 2.0 ** np.arange((end - start).bit_length() - 1)
        z = np.concatenate([start + away, end - away]) - (start + end) // 2
        value = self.curve.function((z + (start + end) // 2) / self.tag)
        got = np.zeros_like(z)
        for c in reversed(coeffs):
            got = got * z + c
        return float((np.abs(np.ldexp(got, -self.precision) - value) / self.curve.sizes(value)).max())

    def best(self, start: int, end: int, degree: int, most: float) -> list[int] | None:
        """Coefficients whose error is at most `most`, of the lowest degree that allows it."""
        for d in range(min(degree, end - start) + 1) if end == self.high else (min(degree, end - start),):
            error, coeffs = self.piece(start, end, d)
            if error <= most and self._near_ends(start, end, coeffs) <= most:
                return _moved(coeffs + [0] * (degree - d), (start + end) // 2)
        return None

    def pieces(self, degree: int, most: float) -> list[tuple[int, list[int]]] | None:
        """(first tag, coefficients) of each piece; None if there are too many."""
        out: list[tuple[int, list[int]]] = []
        start, width = self.low, 16
        while start <= self.high:
            found = self.best(start, self.high, degree, most)
            end = self.high
            if found is None:
                end, found = self._longest(start, width, degree, most)
            if found is None or len(out) >= MAX_PIECES:
                return None
            out.append((start, found))
            start, width = end + 1, max(1, end - start)
        return out

    def _longest(self, start: int, width: int, degree: int, most: float) -> tuple[int, list[int] | None]:
        """The last tag of about the longest piece from `start` on, and its coefficients."""
        good, found, bad = start, self.best(start, start, degree, most), self.high
        reach = width
        while good + 1 < bad and start + reach < bad:
            tried = self.best(start, start + reach, degree, most)
            if tried is None:
                bad = start + reach
                break
            good, found, reach = start + reach, tried, 2 * reach
        while bad - good > max(1, (good - start) // 64):
            middle = (good + bad) // 2
            tried = self.best(start, middle, degree, most)
            good, bad, found = (middle, bad, tried) if tried is not None else (good, middle, found)
        return good, found


def _moved(coeffs: list[int], middle: int) -> list[int]:
    """The coefficients of the same polynomial in u, from those in u - middle."""
    out = list(coeffs)
    for j in range(len(out) - 1):
        for i in range(len(out) - 2, j - 1, -1):
            out[i] -= middle * out[i + 1]
    return out


def spline_bits(knots: tuple[int, ...], coeffs: tuple[tuple[int, ...], ...], low: int, high: int) -> float:
    """A bound of log2(|value| + g) for tags low ... high, where g is the largest power of two in a leading coefficient.

    The client's share before truncation is uniform but for multiples of g, so that a word of W bits makes the
    truncation fail with probability 2^(this - W) at most.
    """
    ends = [low, *(min(max(t, low), high) for t in knots), high]
    running, largest, grain = [0] * len(coeffs[0]), 1, 0
    for i, row in enumerate(coeffs):
        running = [a + b for a, b in zip(running, row, strict=True)]
        half, middle = (ends[i + 1] - ends[i]) // 2 + 1, (ends[i] + ends[i + 1]) // 2
        around = _moved(running, -middle)
        largest = max(largest, sum(abs(c) * half**j for j, c in enumerate(around)))
        grain = min(filter(None, (grain, _grain(row))), default=0)
    if not grain:
        raise InvalidInput("a spline whose pieces are all constant and equal is no function of its argument")
    return math.log2(largest + grain)


def _grain(row: tuple[int, ...]) -> int:
    """The largest power of two in the leading coefficient, which must not be the constant alone of the first piece."""
    leading = next((c for c in reversed(row) if c), 0)
    return leading & -leading


@lru_cache(maxsize=256)
def fit_spline(
    name: str, scale: Fraction, low: float, high: float, out_bits: int, tolerance: float, failure_bits: int
) -> Spline:
    """The curve `name` on values at `scale` from `low` to `high`, result at 2^out_bits, error at most `tolerance`.

    Of those that keep the tolerance, one with the least material. InvalidInput if there is none.
    """
    f = curve(name)
    value, slope = _profile(f, low, high)
    steepest = float(slope.max())
    shift = max(0, math.floor(math.log2(float(scale) * tolerance / (4 * max(steepest, 2.0**-40)))))
    shift = min(shift, max(0, ceil_log2(max(abs(low), abs(high)) * scale) - 4))
    tag = scale / (1 << shift)
    ends = math.floor(low * tag) - 1, math.ceil(high * tag) + 1
    ends = (max(ends[0], 1), ends[1]) if f.positive else ends
    coin = steepest / float(tag) if shift else 0.0
    unit = 2.0**-out_bits / float(f.sizes(value).min())
    slack = unit if ends[1] - ends[0] >= _GRID else 0.0
    most = 0.95 * (tolerance - coin - unit - slack)
    top = max(1, math.ceil(math.log2(float(np.abs(value).max()) + tolerance)) + 1)
    task = _Task(f, float(tag), *ends, 0)
    choices = _choices(task, most, failure_bits, out_bits, top) if most > 0 else []
    for _, degree, precision, count in sorted(choices):
        spline = _finished(replace(task, precision=precision), degree, count, most, shift, out_bits, failure_bits)
        if spline is not None and spline.error <= tolerance:
            return spline
    raise InvalidInput(
        f"{name} from {low:g} to {high:g} does not come within {tolerance:.2g} in {MAX_PIECES} pieces; raise "
        "it, by policy.smooth_bits, or train for a smaller range"
    )


def _profile(f: Curve, low: float, high: float) -> tuple[Doubles, Doubles]:
    """The function at arguments that are dense towards zero, and its slope, relative if errors are."""
    reach = max(abs(low), abs(high))
    near = reach * 2.0 ** np.linspace(-40, 0, 1025)
    x = np.unique(np.concatenate([-near, near, np.linspace(low, high, 1025)]))
    x = x[(x >= low) & (x <= high)]
    value = f.function(x)
    slope = np.abs(np.diff(value) / np.diff(x))
    return value, slope / f.sizes(value[:-1])


def _choices(task: _Task, most: float, failure_bits: int, out_bits: int, top: int) -> list[tuple[int, int, int, int]]:
    """(bytes an element, degree, precision, pieces) of what keeps the error `most`, for words of whole bytes."""
    found = []
    for degree in _DEGREES:
        least = 1 << 30
        finest = min(_PRECISION[task.curve.least == 0][degree], MAX_COEFF_BITS - 1 - top)
        for size in range(min(16, -(-(failure_bits + top + finest) // 8)), (failure_bits + top) // 8, -1):
            precision = min(8 * size - failure_bits - top, finest)
            if precision < out_bits:
                break
            pieces = replace(task, precision=precision).pieces(degree, most)
            if pieces is None:
                break
            need = size * (2 * degree + (len(pieces) - 1) * (1 + 2 * degree))
            found.append((need, degree, precision, len(pieces)))
            if need > least:
                break
            least = need
    return found


def _finished(
    task: _Task, degree: int, count: int, most: float, shift: int, out_bits: int, failure_bits: int
) -> Spline | None:
    """The spline of `count` pieces with about the least error, measured."""
    low, pieces = 0.0, task.pieces(degree, most)
    for _ in range(_HALVINGS):
        tried = task.pieces(degree, (low + most) / 2)
        if tried is not None and len(tried) <= count:
            most, pieces = (low + most) / 2, tried
        else:
            low = (low + most) / 2
    if pieces is None:
        return None
    if len(pieces) == 1:  # a gate has a knot
        pieces = [*pieces, ((task.low + task.high) // 2, pieces[0][1])]
    rows = [tuple(row) for _, row in pieces]
    coeffs = (rows[0], *(tuple(b - a for a, b in zip(one, two, strict=True)) for one, two in pairwise(rows)))
    knots = tuple(start for start, _ in pieces[1:])
    if max(abs(c) for row in coeffs for c in row) >= 1 << (MAX_COEFF_BITS - 1):
        return None
    bits = math.ceil(16 * spline_bits(knots, coeffs, task.low, task.high)) / 16
    trunc = task.precision - out_bits
    error = _measured(task, knots, coeffs, trunc, out_bits, shift)
    size = -(-math.ceil(bits + failure_bits) // 8)
    return Spline(shift, knots, coeffs, trunc, bits, size, (task.low, task.high), error) if size <= 16 else None


def _measured(
    task: _Task, knots: tuple[int, ...], coeffs: tuple[tuple[int, ...], ...], trunc: int, out_bits: int, shift: int
) -> float:
    """The largest deviation over all tags, or where there are more than the grid has, over those of the grid.

    A tag stands for arguments up to one tag away on either side, if anything was cut off, and the result may be one
    unit more.
    """
    u, worst = _tags(task, knots), 0.0
    values = piecewise(knots, coeffs, u) >> trunc
    slack = 2.0**-out_bits if len(u) <= task.high - task.low else 0.0  # a rounding that the grid may have missed
    for away in (-1, 0, 1) if shift else (0,):
        want = task.curve.function(np.clip(u + away, task.low, task.high) / task.tag)
        sizes = task.curve.sizes(want)
        for more in (0, 1):
            off = np.abs(np.ldexp((values + more).astype(np.float64), -out_bits) - want) + slack
            worst = max(worst, float((off / sizes).max()))
    return worst


def _tags(task: _Task, knots: tuple[int, ...]) -> NDArray[np.int64]:
    """Every tag of the domain, or those of a grid that is dense towards zero and around the knots."""
    count = task.high - task.low + 1
    if count <= _GRID:
        return np.arange(task.low, task.high + 1, dtype=np.int64)
    near = np.rint(2.0 ** np.linspace(0, math.log2(count), _GRID // 4)).astype(np.int64)
    around = (np.array([0, *knots])[:, None] + np.arange(-2, 3)).reshape(-1)
    u = np.concatenate([near, -near, around, np.linspace(task.low, task.high, _GRID // 2).astype(np.int64)])
    return u[(u >= task.low) & (u <= task.high)]
