"""What the gates of a plan from outside must satisfy: sign tests within their values' range, knots and slopes small."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tacit.errors import InvalidFile
from tacit.secure.session import Step
from tacit.secure.share import Wire

__all__ = ["GATES", "MAX_KNOTS", "check_gate"]

#: Steps that read an opened value and test its sign.
GATES = ("relu", "step", "ranks", "labels")

MAX_KNOTS = 64
_SLOPE_BITS = 31


def check_gate(step: Step, opened: Wire, limit: float) -> None:
    """InvalidFile unless `step` can read `opened`, whose magnitude is stated to stay below `limit` before its knots."""
    if step.op == "fan":
        _check_knots(step.attrs.get("knots"), Fraction(limit) * opened.scale)
    if step.op in GATES:
        _check_bits(step.attrs.get("bits"), opened, Fraction(limit) * opened.scale)
    if step.op == "relu":
        _check_relu(step, opened)
    if step.op == "ranks" and not 2 <= step.attrs["items"] <= 1 << 16:
        raise InvalidFile(f"it ranks {step.attrs['items']} values")


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_knots(knots: Any, reach: Fraction) -> None:
    if not isinstance(knots, list) or not 1 <= len(knots) <= MAX_KNOTS:
        raise InvalidFile(f"it has no list of 1 to {MAX_KNOTS} knots")
    for knot in knots:
        if not isinstance(knot, str) or len(knot) > 20 or not knot.lstrip("-").isascii() or abs(int(knot)) > reach:
            raise InvalidFile("a knot is no whole number within the range of the value")


def _check_bits(bits: Any, opened: Wire, reach: Fraction) -> None:
    """Bits [low, high) that hold the sign of every value within the range."""
    if not isinstance(bits, list) or len(bits) != 2 or not all(_whole(b, 0, opened.ring) for b in bits):
        raise InvalidFile(f"its sign test does not look at bits of a ring of {opened.ring}")
    low, high = bits
    if low + 2 > high:
        raise InvalidFile(f"a sign test of the bits {low} to {high} has nothing to look at")
    if reach > Fraction(2) ** (high - 2):
        raise InvalidFile(f"its sign test leaves out bits above {high} that values in range have")


def _check_relu(step: Step, opened: Wire) -> None:
    attrs = step.attrs
    if not _whole(attrs.get("shift"), 0, opened.ring - 2):
        raise InvalidFile(f"it shifts {attrs.get('shift')} bits out of a ring of {opened.ring}")
    slopes = attrs.get("slopes")
    most = 1 << _SLOPE_BITS
    if not isinstance(slopes, list) or len(slopes) != 2 or not all(_whole(v, -most, most) for v in slopes):
        raise InvalidFile("it has no two whole slopes")
    if attrs.get("tie") not in ("negpass", "poszero") or attrs.get("rounding") not in ("stochastic", "exact"):
        raise InvalidFile("it does not say how it settles ties and how it rounds")
