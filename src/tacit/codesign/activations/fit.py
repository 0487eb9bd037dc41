"""Polynomials with public integer coefficients: the best fit of an activation on a range, by integer least squares.

The best integers are not the rounded real ones: rounding the quartic of ReLU to 8 bits loses its leading coefficient.
So the closest point of a lattice is found, exactly: even and odd monomials are orthogonal on a symmetric grid, which
leaves two problems of dimension 4 and 3 at most; each is enumerated (Schnorr and Euchner, Math. Programming 66, 1994)
within the radius of the best point so far. The goal is that of PILLAR (Diaa et al., USENIX Security 2024), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import numpy as np

from tacit.codesign.activations.curves import CURVES, Curve, Reals, named
from tacit.errors import InvalidInput

__all__ = ["MAX_BITS", "MAX_DEGREE", "PILLAR", "Polynomial", "fit"]

MAX_DEGREE, MAX_BITS = 6, 24
#: Beyond the rounding of the enumeration's floats: points this close in cost are compared in exact arithmetic.
_MARGIN = 1e-12
Rationals = list[Fraction]
Integers = list[list[int]]


@dataclass(frozen=True)
class Polynomial:
    """The polynomial sum of numerators[i] / 2^bits * x^i, and how well it fits on [-interval, interval].

    rms, largest    root mean square and largest magnitude of its error on the grid of the fit, in units of the target;
                    zero where nothing was fitted
    Raises InvalidInput for a degree beyond MAX_DEGREE or bits beyond MAX_BITS.
    """

    numerators: tuple[int, ...]
    bits: int
    interval: float
    rms: float = field(default=0.0, compare=False)
    largest: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        if not 2 <= len(self.numerators) <= MAX_DEGREE + 1 or not all(isinstance(n, int) for n in self.numerators):
            raise InvalidInput(f"a polynomial has 2 to {MAX_DEGREE + 1} whole numerators, not {self.numerators!r}")
        if not 0 <= self.bits <= MAX_BITS:
            raise InvalidInput(f"coefficients have 0 to {MAX_BITS} fraction bits, not {self.bits!r}")
        if not 0 < self.interval < math.inf:
            raise InvalidInput(f"the range of a polynomial is a positive number, not {self.interval!r}")

    @property
    def values(self) -> tuple[float, ...]:
        """The coefficients a_0 .. a_d; floats hold them exactly."""
        return tuple(n / (1 << self.bits) for n in self.numerators)

    @property
    def degree(self) -> int:
        """The highest power with a coefficient that is not zero."""
        return max((i for i, n in enumerate(self.numerators) if n), default=0)

    def __call__(self, x: Reals) -> Reals:
        """Its values at a float64 array, by Horner's rule."""
        total = np.zeros_like(x)
        for value in reversed(self.values):
            total = total * x + value
        return total

    def __str__(self) -> str:
        terms = [f"{n}{'' if i == 0 else 'x' if i == 1 else f'x^{i}'}" for i, n in enumerate(self.numerators) if n]
        return f"({' + '.join(terms) or '0'}) / 2^{self.bits}".replace("+ -", "- ")


def fit(
    degree: int = 4,
    bits: int = 12,
    interval: float = 5.0,
    *,
    target: str | Curve = "relu",
    grid: int = 1000,
    compat: str | None = None,
) -> Polynomial:
    """The polynomial with coefficients in whole multiples of 2^-bits whose squared error over a grid is the least.

    interval    half the length of the range [-interval, interval] that `grid` points are spread over evenly
    target      a name of `curves.CURVES`, or a function of float64 arrays
    compat      "pillar" fits the way of the published code: targets truncated to multiples of 2^-bits, coefficients of
                at most one half

    The result is the optimum, not an approximation of it. Raises InvalidInput for arguments out of range.
    """
    for name, value, low, high in (("degree", degree, 1, MAX_DEGREE), ("bits", bits, 1, MAX_BITS)):
        if not isinstance(value, int) or not low <= value <= high:
            raise InvalidInput(f"the {name} of a fit must be a whole number from {low} to {high}, not {value!r}")
    if not 2.0**-5 <= interval <= 2.0**10:
        raise InvalidInput(f"the range of a fit must be a number from 2^-5 to 2^10, not {interval!r}")
    if not degree < grid <= 1 << 16:
        raise InvalidInput(f"a fit of degree {degree} needs from {degree + 1} to 65536 points, not {grid!r}")
    if named(target) is None:
        raise InvalidInput(f"{target!r} is no activation that is known here; known are {', '.join(sorted(CURVES))}")
    if compat not in (None, "pillar"):
        raise InvalidInput(f'compat must be "pillar" or None, not {compat!r}')
    return _fit(degree, bits, float(interval), target, grid, compat is not None)


@lru_cache(maxsize=256)
def _fit(degree: int, bits: int, interval: float, target: str | Curve, grid: int, published: bool) -> Polynomial:
    numerators = [0] * (degree + 1)
    wanted = _wanted(interval, target, grid)
    scaled = [Fraction(t) * (1 << bits) for t in wanted.tolist()]
    if published:
        scaled = [Fraction(int(t)) for t in scaled]
    for parity in (0, 1):
        powers = range(parity, degree + 1, 2)
        gram, ahead = _normal_equations(powers, Fraction(interval), grid, scaled)
        for power, numerator in zip(powers, _closest(gram, ahead), strict=True):
            numerators[power] = numerator
    if published and max(map(abs, numerators)) > 1 << (bits - 1):
        raise InvalidInput(
            "the published procedure keeps coefficients within one half, and the best are larger on a range of "
            f"{interval:g}; leave compat out"
        )
    return _measured(tuple(numerators), bits, interval, target, grid)


def _points(interval: float, grid: int) -> Reals:
    return np.linspace(-interval, interval, grid)


def _wanted(interval: float, target: str | Curve, grid: int) -> Reals:
    """The target's values on the grid. Raises InvalidInput when they are not finite numbers."""
    curve = named(target)
    assert curve is not None
    wanted = np.asarray(curve(_points(interval, grid)), np.float64)
    if wanted.shape != (grid,) or not np.isfinite(wanted).all():
        raise InvalidInput(f"the target of a fit must give one finite number a point on [-{interval:g}, {interval:g}]")
    return wanted


def _measured(numerators: tuple[int, ...], bits: int, interval: float, target: str | Curve, grid: int) -> Polynomial:
    plain = Polynomial(numerators, bits, interval)
    errors = plain(_points(interval, grid)) - _wanted(interval, target, grid)
    return Polynomial(numerators, bits, interval, math.sqrt(float(np.mean(errors**2))), float(np.abs(errors).max()))


def _normal_equations(
    powers: Sequence[int], interval: Fraction, grid: int, wanted: Rationals
) -> tuple[list[Rationals], Rationals]:
    """Products of the monomials with one another and with the target over the grid, exactly.

    The points are interval * u / (grid - 1) for u = -(grid - 1), -(grid - 3), .. grid - 1.
    """
    us, unit = range(1 - grid, grid, 2), interval / (grid - 1)
    most = 2 * max(powers, default=0)
    moments = {k: unit**k * sum(u**k for u in us) for k in range(2 * min(powers, default=0), most + 1, 2)}
    gram = [[moments[i + k] for k in powers] for i in powers]
    ahead = [unit**i * sum(t * u**i for u, t in zip(us, wanted, strict=True)) for i in powers]
    return gram, ahead


def _closest(gram: list[Rationals], ahead: Rationals) -> tuple[int, ...]:
    """The whole vector a with the least a'Ga - 2a'b.

    The basis is reduced, the nearest plane's point is taken off, and what remains is small enough for floats: a sum of
    norms[i] (c[i] + what later entries add - centre[i])^2, whose entries are tried from the last to the first and from
    the nearest value on.
    """
    size = len(gram)
    if not size:
        return ()
    basis = _reduced(gram)
    near, goal = _transformed(gram, basis), [_dot(row, ahead) for row in basis]
    norms, mix = _orthogonal(near)
    start = _nearest_plane(norms, mix, goal)
    centre = _centre(norms, mix, [g - _dot(start, row) for g, row in zip(goal, near, strict=True)])
    points = _enumerated(
        [float(n) for n in norms], [[float(m) for m in row] for row in mix], [float(c) for c in centre]
    )
    moved = [[p + q for p, q in zip(point, start, strict=True)] for point in points]
    plain = [
        tuple(sum(c * row[i] for c, row in zip(point, basis, strict=True)) for i in range(size)) for point in moved
    ]
    return min(plain, key=lambda a: (_exact_cost(a, gram, ahead), a))


def _dot(left: Sequence[int | Fraction], right: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(left, right, strict=True)), Fraction(0))


def _exact_cost(a: Sequence[int], gram: list[Rationals], ahead: Rationals) -> Fraction:
    """a'Ga - 2a'b."""
    return sum((x * _dot(a, row) for x, row in zip(a, gram, strict=True)), Fraction(0)) - 2 * _dot(a, ahead)


def _transformed(gram: list[Rationals], basis: Integers) -> list[Rationals]:
    """The products of another basis, given by its coordinates in the first."""
    half = [[_dot(row, column) for column in gram] for row in basis]
    return [[_dot(other, row) for other in basis] for row in half]


def _orthogonal(gram: list[Rationals]) -> tuple[Rationals, list[Rationals]]:
    """Squared norms of the orthogonalised basis, and how much of each is in later vectors: exact, for monomials are so
    nearly dependent that floats would be wrong.
    """
    size = len(gram)
    norms: Rationals = []
    mix = [[Fraction(0)] * size for _ in range(size)]
    for i in range(size):
        for k in range(i):
            shared = sum((mix[i][j] * mix[k][j] * norms[j] for j in range(k)), Fraction(0))
            mix[i][k] = (gram[i][k] - shared) / norms[k]
        norms.append(gram[i][i] - sum((mix[i][j] ** 2 * norms[j] for j in range(i)), Fraction(0)))
    return norms, mix


def _centre(norms: Rationals, mix: list[Rationals], goal: Rationals) -> Rationals:
    """The target in the orthogonalised basis, from its products with the plain one."""
    centre: Rationals = []
    for i, product in enumerate(goal):
        along = sum((mix[i][j] * centre[j] * norms[j] for j in range(i)), Fraction(0))
        centre.append((product - along) / norms[i])
    return centre


def _nearest_plane(norms: Rationals, mix: list[Rationals], goal: Rationals) -> list[int]:
    """A lattice point near the target (Babai, Combinatorica 6, 1986)."""
    centre, point = _centre(norms, mix, goal), [0] * len(norms)
    for i in reversed(range(len(norms))):
        point[i] = round(centre[i] - sum((mix[k][i] * point[k] for k in range(i + 1, len(norms))), Fraction(0)))
    return point


def _reduced(gram: list[Rationals]) -> Integers:
    """A reduced basis (Lenstra, Lenstra and Lovász, Math. Annalen 261, 1982), by its coordinates in the given one."""
    size = len(gram)
    basis = [[int(i == k) for k in range(size)] for i in range(size)]
    at = 1
    while at < size:
        for k in reversed(range(at)):
            _, mix = _orthogonal(_transformed(gram, basis))
            factor = round(mix[at][k])
            basis[at] = [x - factor * y for x, y in zip(basis[at], basis[k], strict=True)]
        norms, mix = _orthogonal(_transformed(gram, basis))
        if norms[at] >= (Fraction(3, 4) - mix[at][at - 1] ** 2) * norms[at - 1]:
            at += 1
            continue
        basis[at - 1], basis[at] = basis[at], basis[at - 1]
        at = max(at - 1, 1)
    return basis


def _enumerated(norms: list[float], mix: list[list[float]], centre: list[float]) -> list[tuple[int, ...]]:
    """Every whole vector whose cost is, within rounding, the least."""
    size, best = len(norms), math.inf
    chosen, found = [0] * size, list[tuple[float, tuple[int, ...]]]()

    def descend(level: int, spent: float) -> None:
        nonlocal best
        middle = centre[level] - sum(mix[k][level] * chosen[k] for k in range(level + 1, size))
        for value in _outward(middle):
            cost = spent + norms[level] * (value - middle) ** 2
            if cost > best * (1 + _MARGIN):
                return
            chosen[level] = value
            if level:
                descend(level - 1, cost)
            else:
                found.append((cost, tuple(chosen)))
                best = min(best, cost)

    descend(size - 1, 0.0)
    return [point for cost, point in found if cost <= best * (1 + _MARGIN)]


def _outward(middle: float) -> Iterator[int]:
    """All whole numbers by their distance from `middle`, without end."""
    up = math.ceil(middle)
    down = up - 1
    while True:
        if up - middle <= middle - down:
            yield up
            up += 1
        else:
            yield down
            down -= 1


#: The quartic of PILLAR's experiments, for ReLU on [-5, 5].
PILLAR = _measured((322, 512, 160, 0, -3), 10, 5.0, "relu", 1000)
