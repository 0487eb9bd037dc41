"""Why a plan is as it is, in sentences: precision, rings, and the gate of every kind of activation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from tacit.net.message import one_line
from tacit.plan.fixed import ceil_log2
from tacit.plan.plan import Plan
from tacit.secure.session import Step

__all__ = ["reasons"]


def reasons(plan: Plan) -> list[str]:
    """One sentence a choice that the planner made, from what the plan itself says."""
    return [*_precision(plan), *_noise(plan), *_rings(plan), *_gates(plan)]


def _precision(plan: Plan) -> Iterator[str]:
    """What the settings say; they may come from anywhere, so nothing is taken for granted about them."""
    settings, measured = plan.settings, plan.settings.get("measured")
    given = measured if isinstance(measured, dict) else {}
    error, tolerance, tried = given.get("error"), given.get("tolerance"), given.get("tried")
    line = f"activations have {_shown(settings.get('input_bits'))} fraction bits, weights "
    line += f"{_shown(settings.get('weight_bits'))} or as many as their ring leaves"
    if isinstance(error, float) and isinstance(tolerance, float):
        within = "within" if error <= tolerance else "beyond"
        line += f": measured error at most {error:.1e} of the outputs' size, {within} the tolerance of {tolerance:g}"
    yield line
    for text in tried if isinstance(tried, list) else ():
        yield f"tried: {_shown(text)}"


def _noise(plan: Plan) -> Iterator[str]:
    stated = [bound for bound in plan.noise if bound is not None]
    if stated:
        yield f"coins of truncation move the outputs by at most {max(stated):.1e} (measured on the calibration data)"


def _shown(value: object) -> str:
    return one_line(str(value), 100)


def _rings(plan: Plan) -> Iterator[str]:
    openings = [(plan.wires[s.site], plan.ranges[s.site]) for s in plan.steps if s.op == "open"]
    for ring, number in sorted(Counter(wire.ring for wire, _ in openings).items()):
        most = max(Fraction(bound) * wire.scale for wire, bound in openings if wire.ring == ring)
        yield f"ring of {ring} bits for {number} openings: values up to 2^{ceil_log2(most)}, and two bits for openings"


def _gates(plan: Plan) -> Iterator[str]:
    kinds = Counter(_gate(plan, step) for step in plan.steps if "bits" in step.attrs)
    for line, number in kinds.items():
        yield f"{number} x {line}"
    polynomials = sum(step.op == "poly" for step in plan.steps)
    if polynomials:
        yield f"{polynomials} x polynomial: no comparison, keys of 32 bytes a degree"


def _gate(plan: Plan, step: Step) -> str:
    if step.op == "spline":
        knots, degree, error = len(step.attrs["knots"]), step.attrs["degree"], float(Fraction(step.attrs["error"]))
        return f"spline: {knots} knots, degree {degree}, within {error:.1e} of its function, coins included"
    low, high = step.attrs["bits"]
    ring = plan.wires[step.inputs[0]].ring
    line = f"{step.op}: the sign is tested on bits {low} to {high} of {ring}"
    if high < ring:
        line += ", those above follow from the range"
    if low and step.op == "relu":
        shift = int(step.attrs["shift"])
        dropped = "truncation drops those below as well" if low <= shift else "smaller values may have either sign"
        line += f"; {dropped} ({_shown(step.attrs.get('tie'))})"
    if step.attrs.get("rounding") == "exact" and step.attrs.get("shift"):
        line += "; rounded exactly by a second comparison"
    return line
