"""What a plan from outside must satisfy, step by step, before anything is allocated or sent for it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from tacit import ops
from tacit.errors import InvalidFile, InvalidInput
from tacit.ir.attrs import fraction
from tacit.plan.gates import GATES, check_choice, check_fan, check_form, check_gate
from tacit.plan.plan import walk_wires
from tacit.secure.multiply import PRODUCTS
from tacit.secure.session import Session, Step
from tacit.secure.share import Wire

__all__ = ["MAX_ELEMENTS", "check_identity", "check_shape", "check_steps"]

MAX_ELEMENTS = 1 << 32
#: No planner makes scales or whole numbers of more bits.
_SCALE_BITS, _NUMBER_BITS = 1 << 12, 31
_COEFFICIENT = re.compile(r"-?[0-9]{1,39}", re.ASCII)
#: Steps that the planner writes beside those of `tacit.ops`.
_WORDS = frozenset(
    {"mask", "remask", "open", "reveal", "fan", "plus", "ranks", "labels", "sign", "choose", "iota", "spline"}
)
_TENSORS = {
    "linear": ("weight", "bias"),
    "conv": ("weight", "bias"),
    "affine": ("weight", "bias"),
    "bias": ("value",),
}


def check_identity(commitment: str, salt: str, settings: Mapping[str, Any]) -> None:
    """InvalidFile unless commitment and salt are hex of 32 and 16 bytes and the settings say what the ranges are."""
    for name, text, digits in (("commitment", commitment, 64), ("salt", salt, 32)):
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", text):
            raise InvalidFile(f"its {name} is not {digits} hex digits")
    if settings.get("ranges") not in ("calibrated", "proven"):
        raise InvalidFile("its settings do not say whether the ranges are calibrated or proven")


def check_shape(shape: tuple[int, ...]) -> None:
    """InvalidFile unless every size is positive and the tensor is not absurdly large."""
    count = 1
    for size in shape:
        if not isinstance(size, int) or size < 1:
            raise InvalidFile(f"a shape holds {size!r}")
        count *= size
        if count > MAX_ELEMENTS:
            raise InvalidFile("a tensor has more than 2^32 elements")


def check_steps(steps: tuple[Step, ...], inputs: Mapping[int, Wire], ranges: Mapping[int, float]) -> None:
    """Walk the plan dry and check each step against the wires it reads; InvalidFile names the step that is wrong.

    What holds afterwards: kernels get operands and numbers that they can work with, every value that is opened fits its
    ring within its stated range, and no failure bound is understated.
    """
    made: dict[int, Wire] = {}
    limits: dict[int, float] = {}
    protocols = {step.protocol for step in steps}
    if "clear" in protocols and len(protocols) > 1:
        raise InvalidFile("it mixes steps in the clear with private ones, which read each other's values differently")
    for step in steps:
        _check_form(step)
    for step, wire in walk_wires(steps, inputs, Session("dry", 0)):
        try:
            operands = [made[i] for i in step.inputs]
            sources = [steps[i] for i in step.inputs]
            _check_operands(step, sources, operands)
            _check_sizes(step, operands)
            check_shape(wire.shape)
            if max(wire.scale.numerator.bit_length(), wire.scale.denominator.bit_length()) > _SCALE_BITS:
                raise InvalidFile("its scale is absurdly fine or coarse")
            if step.op in ("mask", "open", "fan", "reveal"):
                limits[step.site] = _check_range(ranges.get(step.site), wire)
            if step.op == "poly":
                _check_poly(step, operands[0], limits[step.inputs[0]])
            if step.op == "choose":
                check_choice(sources, operands[0], operands[1])
            if step.op == "fan":
                check_fan(step, sources[0], limits[step.inputs[0]], limits[step.site], wire.scale)
            if step.op in GATES:
                check_gate(step, sources[0], operands[0], limits[step.inputs[0]])
            if step.op == "plus":
                fraction(step.attrs["value"], "value")
            if step.op == "reveal" and not 0 <= step.attrs["drop"] < wire.ring:
                raise InvalidFile(f"it drops {step.attrs['drop']} bits of {wire.ring}")
        except (InvalidInput, KeyError, TypeError) as error:
            raise InvalidFile(f"step {step.site} ({step.op}): {error}") from error
        made[step.site] = wire


def _check_form(step: Step) -> None:
    """What can be said of a step alone, before it is walked: nothing in it may be slow or dangerous to read."""
    where = f"step {step.site}"
    if len(step.node) > 1000:
        raise InvalidFile(f"{where} has a layer name of {len(step.node)} characters")
    if step.op not in _WORDS and not (step.op in ops.names() and hasattr(ops.load(step.op), "lower")):
        raise InvalidFile(f"{where}: {step.op[:40]!r} is not a step of any plan")
    if (step.op == "mask") != (not step.inputs):
        raise InvalidFile(f"{where}: inputs, and they alone, are masks that read no step")
    for shape in step.weights.values():
        check_shape(shape)
    if step.weights.keys() - set(_TENSORS.get(step.op, ())):
        raise InvalidFile(f"{where}: {step.op} has no tensors {sorted(step.weights)}")
    for name, value in step.attrs.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int) and item.bit_length() > _NUMBER_BITS:
                raise InvalidFile(f"{where}: {name} holds an absurdly large number")
    try:
        check_form(step)
    except InvalidFile as error:
        raise InvalidFile(f"{where} ({step.op}): {error}") from error
    for name in {"weight_scale", "scale"} & step.attrs.keys():
        if fraction(step.attrs[name], name) <= 0:
            raise InvalidFile(f"{where}: {name} must be positive")


def _check_operands(step: Step, sources: list[Step], operands: list[Wire]) -> None:
    """An opened value is for evaluations alone, its differences from knots are for gates, and what was revealed is for
    nobody else.
    """
    allowed = ("opened",) if step.op in ("poly", "fan", "choose", *GATES, *PRODUCTS) else ("dealt", "derived")
    for wire in operands:
        if wire.preset not in allowed:
            raise InvalidFile(f"it cannot read a value that is {wire.preset}")
    if step.op not in GATES and any(source.op == "fan" for source in sources):
        raise InvalidFile("it cannot read differences from knots, which are for gates")
    if step.op != "choose" and any(source.op == "sign" for source in sources):
        raise InvalidFile("it cannot read a masked sign, which is for choices")


def _check_sizes(step: Step, operands: list[Wire]) -> None:
    """Tensors fit the operand, which the product itself does not ask."""
    if step.op in ("linear", "conv", "bias"):
        ops.load(step.op).shape(step.attrs, operands[0].shape, weights=step.weights)
    if step.op == "affine":
        renamed = {{"weight": "gain", "bias": "offset"}[name]: shape for name, shape in step.weights.items()}
        ops.load(step.op).shape(step.attrs, operands[0].shape, weights=renamed)
    if step.op in ("conv", "sumpool"):
        *others, high, wide = operands[0].shape
        above, aside = step.attrs["padding"]
        check_shape((*others, high + 2 * above, wide + 2 * aside))


def _check_range(bound: float | None, wire: Wire) -> float:
    """A value within `bound` must not leave the half of the ring in which an opening is right."""
    if bound is None or not 0 < bound < math.inf:
        raise InvalidFile("it has no range")
    if Fraction(bound) * wire.scale > Fraction(2) ** (wire.ring - 2):
        raise InvalidFile(f"values up to {bound:g} at scale {wire.scale} do not fit a ring of {wire.ring} bits")
    return bound


def _check_poly(step: Step, opened: Wire, bound: float) -> None:
    """Coefficients are numbers of 128 bits, and the value before truncation is as small as the failure bound says."""
    attrs = step.attrs
    texts, shift, bits = attrs["coeffs"], attrs["shift"], attrs["value_bits"]
    if "trunc" not in attrs:
        raise InvalidFile("it does not say how many bits it truncates")
    if not isinstance(texts, list) or not all(isinstance(t, str) and _COEFFICIENT.fullmatch(t) for t in texts):
        raise InvalidFile("its coefficients are not whole numbers")
    if not isinstance(bits, (int, float)) or not 0 <= bits <= 128:
        raise InvalidFile("its value_bits must be from 0 to 128")
    if shift > opened.ring - 2:
        raise InvalidFile(f"it shifts {shift} bits out of a ring of {opened.ring}")
    reach = int(Fraction(bound) * opened.scale / (1 << shift)) + 1
    largest = sum(abs(int(text)) * reach**i for i, text in enumerate(texts))
    # Rounded coefficients may reach a little beyond the polynomial that the planner took the bits of.
    if largest and math.log2(largest) > bits + 1:
        raise InvalidFile(f"its values have up to {math.log2(largest):.1f} bits, more than the {bits:g} it states")
