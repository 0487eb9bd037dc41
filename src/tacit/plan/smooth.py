"""The placing of smooth functions: domain, tolerance and precision of a spline, and the step that evaluates it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.curves import Curve, curve
from tacit.plan.fixed import ceil_log2
from tacit.plan.spline import fit_spline

if TYPE_CHECKING:
    from tacit.plan.place import Placement

__all__ = ["smooth"]

#: How far beyond an end of a function's domain a value may come to lie by the roundings before it.
_ROOM = 2.0**-8
#: A stated error is a multiple of one over this.
_PARTS = 1 << 24


def smooth(p: Placement, site: int, node: str, source: str, name: str, low: Fraction | None) -> int:
    """The curve `name` of `site`, which has the range of the node `source`; its values are at least `low` where the
    domain is positive. Raises InvalidInput if no spline comes close enough.
    """
    if p.wires[site].scale <= 1:  # a bit or a label: its values are few, but its tag must have fraction bits
        site = p.fine(site, node)
    f, bound, scale = curve(name), p.bound(source), p.wires[site].scale
    start, end = _domain(name, f, bound, low)
    with np.errstate(over="ignore"):
        ends = f.function(np.array([start, end]))
    if not np.isfinite(ends).all():
        raise InvalidInput(f"{name} of values up to {bound:g} is beyond what numbers hold; train for a smaller range")
    tolerance = max(2.0**-p.policy.smooth_bits, 2.0 ** (2 - p.resolution))
    bits = p.resolution
    if f.least is not None:
        smallest = float(f.sizes(ends).min())
        bits = max(bits, ceil_log2(8 / (tolerance * smallest)))
    opened = p.opened(site, source, source, bound)
    fitted = fit_spline(name, scale, start, end, bits, tolerance, p.policy.failure_bits)
    reach = int(Fraction(bound) * scale) + (max(abs(t) for t in fitted.knots) + 1 << fitted.shift)
    attrs = {
        "knots": [str(t) for t in fitted.knots],
        "coeffs": [str(c) for row in fitted.coeffs for c in row],
        "degree": len(fitted.coeffs[0]) - 1,
        "domain": [str(t) for t in fitted.domain],
        "shift": fitted.shift,
        "trunc": fitted.trunc,
        "width": fitted.bytes,
        "value_bits": fitted.value_bits,
        "error": str(Fraction(math.ceil(fitted.error * _PARTS), _PARTS)),
        "bits": [fitted.shift, max(reach.bit_length() + 1, fitted.shift + 2)],
        "ring": p.widest,
        "scale": str(1 << bits),
    }
    return p.emit("spline", (opened,), node, attrs)


def _domain(name: str, f: Curve, bound: float, low: Fraction | None) -> tuple[float, float]:
    """The part of the range in which the function is asked for."""
    if not f.positive:
        return -bound, bound if f.high is None else f.high + _ROOM
    if low is None or not 0 < low < bound:
        raise InvalidInput(f"{name} is taken of values above some positive number, and none is known for them here")
    return float(low), bound
