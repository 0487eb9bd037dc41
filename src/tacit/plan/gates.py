"""What the gates of a plan from outside must satisfy: sign tests within their values' range, knots and slopes small."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from tacit.errors import InvalidFile
from tacit.plan.pieces import check_spline, check_spline_form
from tacit.secure.multiply import PRODUCTS
from tacit.secure.session import Step
from tacit.secure.share import Wire

__all__ = ["GATES", "MAX_KNOTS", "check_choice", "check_fan", "check_form", "check_gate"]

#: Steps that read an opened value and test its sign.
GATES = ("relu", "step", "ranks", "labels", "sign", "spline")

MAX_KNOTS = 64
_SLOPE_BITS = 31
_KNOT = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_COUNT = frozenset({"ring", "scale", "bits"})
#: The attributes of each step, no more and no fewer: kernels read those of other gates where they are there.
_ATTRS = {
    "fan": frozenset({"knots"}),
    "relu": _COUNT | {"shift", "slopes", "tie", "rounding"},
    "step": _COUNT,
    "ranks": _COUNT | {"items"},
    "labels": _COUNT,
    **dict.fromkeys(PRODUCTS, frozenset[str]()),
    "sign": frozenset({"bits"}),
    "choose": frozenset({"ring", "scale", "shift", "slopes"}),
    "spline": _COUNT | {"knots", "coeffs", "degree", "domain", "shift", "trunc", "width", "value_bits", "error"},
}
#: Which steps each reads.
_SOURCES = {"ranks": ("open",), "labels": ("fan",), "sign": ("open",), "spline": ("open",)}


def check_form(step: Step) -> None:
    """InvalidFile unless a step of these kinds has its attributes, in the form in which kernels read them."""
    if step.op not in _ATTRS:
        return
    attrs = step.attrs
    if attrs.keys() != _ATTRS[step.op]:
        raise InvalidFile(f"its attributes are not {', '.join(sorted(_ATTRS[step.op])) or 'none'}")
    if step.op in PRODUCTS:
        return
    if step.op == "fan":
        knots = attrs["knots"]
        if not isinstance(knots, list) or not 1 <= len(knots) <= MAX_KNOTS:
            raise InvalidFile(f"it has no list of 1 to {MAX_KNOTS} knots")
        if not all(isinstance(knot, str) and _KNOT.fullmatch(knot) for knot in knots):
            raise InvalidFile("a knot is no whole number")
        return
    if step.op == "choose":
        if attrs["shift"] != 0 or attrs["slopes"] != [0, 1]:
            raise InvalidFile("it chooses values as they are or nothing, neither shifted nor multiplied")
        return
    bits = attrs["bits"]
    if not isinstance(bits, list) or len(bits) != 2 or not all(_whole(b, 0, 64) for b in bits):
        raise InvalidFile("its sign test does not say which two bits it looks at and between")
    if bits[0] + 2 > bits[1]:
        raise InvalidFile(f"a sign test of the bits {bits[0]} to {bits[1]} has nothing to look at")
    if step.op == "relu":
        _check_relu(attrs)
    elif step.op == "spline":
        check_spline_form(attrs)
    elif attrs.get("scale", "1") != "1":
        raise InvalidFile(f"it counts, so that its scale is 1, not {attrs['scale']}")


def check_fan(step: Step, source: Step, limit: float, reach: float, scale: Fraction) -> None:
    """InvalidFile unless values below `limit`, opened by `source`, differ from the knots by less than `reach`."""
    if source.op != "open":
        raise InvalidFile(f"it cannot read a step {source.op}")
    if any(Fraction(limit) * scale + abs(int(knot)) > Fraction(reach) * scale for knot in step.attrs["knots"]):
        raise InvalidFile("differences from a knot leave the range that is stated")


def check_gate(step: Step, source: Step, opened: Wire, limit: float) -> None:
    """InvalidFile unless `step`, whose form is right, can read `opened`, which `source` makes and whose magnitude is
    stated to stay below `limit`.
    """
    if source.op not in _SOURCES.get(step.op, ("open", "fan")):
        raise InvalidFile(f"it cannot read a step {source.op}")
    reach = Fraction(limit) * opened.scale
    _, high = step.attrs["bits"]
    if high > opened.ring:
        raise InvalidFile(f"its sign test looks at bits up to {high} of a ring of {opened.ring}")
    if step.op == "spline":
        check_spline(step.attrs, opened.ring, reach)
    elif reach > Fraction(2) ** (high - 2):
        raise InvalidFile(f"its sign test leaves out bits above {high} that values in range have")
    if step.op == "relu" and step.attrs["shift"] > opened.ring - 2:
        raise InvalidFile(f"it shifts {step.attrs['shift']} bits out of a ring of {opened.ring}")
    if step.op == "ranks":
        _check_ranks(step.attrs["items"], opened)
    if step.op == "labels":
        _check_labels(source, opened)


def check_choice(sources: Sequence[Step], opened: Wire, hidden: Wire) -> None:
    """InvalidFile unless a choice reads an opened value and the masked sign of another of its shape."""
    if [source.op for source in sources] != ["open", "sign"] or hidden.shape != (1, *opened.shape):
        raise InvalidFile("it chooses among opened values by what is not a masked sign for each")


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_ranks(items: Any, opened: Wire) -> None:
    if not _whole(items, 2, 1 << 16) or not opened.shape or opened.shape[-1] != items * (items - 1) // 2:
        raise InvalidFile(f"it ranks {str(items)[:20]} values by differences of shape {opened.shape}, not all pairs")


def _check_labels(source: Step, opened: Wire) -> None:
    """Ranks, less 1, 2, ... for each label."""
    knots = source.attrs["knots"]
    if opened.scale != 1 or knots != [str(t) for t in range(1, len(knots) + 1)]:
        raise InvalidFile("it finds labels of what are no ranks less 1, 2 and so on")
    if len(opened.shape) < 2 or len(knots) >= opened.shape[-1]:
        raise InvalidFile(f"it finds {len(knots)} labels among values of shape {opened.shape[1:]}")


def _check_relu(attrs: Mapping[str, Any]) -> None:
    slopes, most = attrs["slopes"], 1 << _SLOPE_BITS
    if not _whole(attrs["shift"], 0, 62):
        raise InvalidFile(f"it shifts {attrs['shift']} bits")
    if not isinstance(slopes, list) or len(slopes) != 2 or not all(_whole(v, -most, most) for v in slopes):
        raise InvalidFile("it has no two whole slopes")
    if attrs["tie"] not in ("negpass", "poszero") or attrs["rounding"] not in ("stochastic", "exact"):
        raise InvalidFile("it does not say how it settles ties and how it rounds")
