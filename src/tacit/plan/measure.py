"""A plan read in integers at one place, with no secrecy and no messages: what its precision costs in accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tacit.plan.compile import integer_weights
from tacit.plan.place import Placement
from tacit.plan.plan import Plan, run_step
from tacit.ring.fixed import decode, encode
from tacit.ring.prg import SEED_BYTES, Seed
from tacit.secure import labels
from tacit.secure.session import Session, Step
from tacit.secure.share import SERVER, Share, Words

__all__ = ["Reading", "Record"]

Doubles = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
#: Told of every step but the revealing ones, with the value that it makes.
Record = Callable[[Step, Share], None]


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

    def outputs(self, inputs: Sequence[Doubles], *, threads: int = 1, record: Record | None = None) -> list[Doubles]:
        """The outputs for one batch, one array per input; `record` is told of every step that reveals nothing.

        Truncation is that of the protocols: up with the probability of the fraction cut off. The coins decide nothing
        but this measurement, so their seed is fixed, and the choice is the same each time.
        """
        plan, coins = self._plan, Seed(bytes(SEED_BYTES))
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
                values[step.site] = run_step(session, step, operands)
            if record is not None and step.op != "reveal":
                record(step, values[step.site])
            for i in step.inputs:
                if last[i] == step.site:
                    values.pop(i, None)
        return out


def _jittered(opened: Share, shift: int, coins: Seed, site: int) -> Share:
    """The value plus anything below 2^shift, so that rounding down becomes rounding by a fair coin."""
    return Share(opened.wire, opened.require() + coins.uniform(labels.MASK, site, opened.wire.shape, shift))
