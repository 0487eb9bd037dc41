"""A plan read in integers at one place, with no secrecy and no messages: what its precision costs in accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tacit.plan.compile import integer_weights
from tacit.plan.fixed import ceil_log2
from tacit.plan.place import Placement
from tacit.plan.plan import Plan, run_step
from tacit.ring.fixed import decode, encode
from tacit.ring.prg import SEED_BYTES, Seed
from tacit.secure import labels
from tacit.secure.session import Session, Step
from tacit.secure.share import SERVER, Share, Words

__all__ = ["Reading", "Record", "noise"]

Doubles = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
#: Told of every step but the revealing ones, with the value that it makes.
Record = Callable[[Step, Share], None]

#: How many values at least the spread of an output's noise is known from, and pairs of readings at least.
_VALUES, _PAIRS = 64, 2
#: Root mean square differences of two readings that a private run stays within. Sums of many coins are normal: a value
#: that is three times as noisy as the rest of its output lies further off with a probability below 1e-6.
_SPREADS = 16.0


class Reading:
    """The integer reading of a placement whose policy's trust is "clear"; weights are rounded once."""

    def __init__(self, placed: Placement) -> None:
        steps = tuple(placed.steps)
        self._plan = Plan(steps, dict(placed.inputs), dict(placed.limits), {}, "", "", placed.graph)
        self._weights: Mapping[tuple[int, str], Words] = integer_weights(self._plan)

    @classmethod
    def of(cls, plan: Plan) -> Reading:
        """The integer reading of an owner's plan of any trust. LookupError for the public half."""
        reading = cls.__new__(cls)
        reading._plan = replace(plan, steps=tuple(replace(step, protocol="clear") for step in plan.steps))
        reading._weights = integer_weights(reading._plan)
        return reading

    @property
    def bits(self) -> int:
        """The widest ring of any wire."""
        return max(wire.ring for wire in self._plan.wires.values())

    def outputs(
        self, inputs: Sequence[Doubles], *, threads: int = 1, record: Record | None = None, draw: int = 0
    ) -> list[Doubles]:
        """The outputs for one batch, one array per input; `record` is told of every step that reveals nothing.

        Truncation is that of the protocols: up with the probability of the fraction cut off. The coins decide nothing
        but this measurement, so their seed is the public number `draw`, and the choice is the same each time.
        """
        plan, coins = self._plan, Seed(draw.to_bytes(SEED_BYTES, "little"))
        session = Session("online", SERVER, tensors=self._weights, threads=threads)
        given = iter(inputs)
        last = {i: step.site for step in plan.steps for i in step.inputs}
        values: dict[int, Share] = {}
        out: list[Doubles] = []
        for step in plan.steps:
            if step.op == "mask":
                raw = plan.inputs[step.site]
                wire = plan.wires[step.site]
                values[step.site] = Share(wire, encode(next(given), raw.scale, raw.ring))
            elif step.op == "reveal":
                share = values[step.inputs[0]]
                out.append(decode(share.require(), share.wire.scale, share.wire.ring))
            else:
                operands = [values[i] for i in step.inputs]
                if step.attrs.get("shift") and step.attrs.get("rounding") != "exact":
                    operands[0] = _jittered(operands[0], int(step.attrs["shift"]), coins, step.site)
                values[step.site] = _carried(run_step(session, step, operands), step, coins)
            if record is not None and step.op != "reveal":
                record(step, values[step.site])
            for i in step.inputs:
                if last[i] == step.site:
                    values.pop(i, None)
        return out


def noise(plan: Plan, batches: Sequence[Sequence[Doubles]], *, threads: int = 1) -> list[float | None]:
    """For each output of an owner's plan, how far a private run's values may lie from those that the same integers
    give in the clear (`Reading.of`): a power of two; None where no bound is stated.

    A run and a reading round by coins of the same distribution, so that they differ as two readings do. That is
    measured on the `batches` (one array per input each), in pairs with independent coins; sixteen times the root mean
    square difference is stated, and two units of what the reveal drops. It is a measurement, not a proof: for inputs
    unlike these the noise may be another. No bound is stated for labels and bits, which jump, nor for a policy whose
    sign tests leave out more than truncation does. LookupError for the public half of a plan.
    """
    reading, reveals = Reading.of(plan), plan.outputs
    if any(step.op == "relu" and int(step.attrs["bits"][0]) > _unit_bits(plan, step) for step in plan.steps):
        return [None] * len(reveals)
    values = min(plan.wires[step.site].count for step in reveals)
    pairs = max(_PAIRS, len(batches), -(-_VALUES // values))
    squares = np.zeros(len(reveals))
    for number in range(pairs):
        inputs = batches[number % len(batches)]
        one, other = (reading.outputs(inputs, threads=threads, draw=2 * number + i) for i in (1, 2))
        squares += [float(((a - b) ** 2).mean()) for a, b in zip(one, other, strict=True)]
    return [_stated(plan, step, float(mean)) for step, mean in zip(reveals, np.sqrt(squares / pairs), strict=True)]


def _unit_bits(plan: Plan, step: Step) -> int:
    """The bits of an opened value below the resolution of activations, or below what the step truncates."""
    resolution = int(plan.settings.get("input_bits", 0))
    return max(int(step.attrs["shift"]), ceil_log2(plan.wires[step.inputs[0]].scale) - resolution)


def _stated(plan: Plan, reveal: Step, spread: float) -> float | None:
    """The bound for an output whose readings differ by `spread`, root mean square."""
    wire = plan.wires[reveal.site]
    if wire.scale <= 1:
        return None
    bound = _SPREADS * spread + 2 * float(2 ** int(reveal.attrs.get("drop", 0)) / wire.scale)
    return 2.0 ** math.ceil(math.log2(bound))


def _jittered(opened: Share, shift: int, coins: Seed, site: int) -> Share:
    """The value plus anything below 2^shift, so that rounding down becomes rounding by a fair coin."""
    return Share(opened.wire, opened.require() + coins.uniform(labels.MASK, site, opened.wire.shape, shift))


def _carried(result: Share, step: Step, coins: Seed) -> Share:
    """The result of a polynomial with the carry between shares that are shifted down apart: here it is an even coin,
    while the protocols' has the fraction cut off for its odds, which is even on average.
    """
    if not int(step.attrs.get("trunc", 0)):
        return result
    return Share(result.wire, result.require() + coins.uniform(labels.OPEN_CLIENT, step.site, result.wire.shape, 1))
