"""The walk: one loop over the steps serves every reading; what differs is the Session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ir.onehot import from_indices
from tacit.plan.plan import Plan, run_step
from tacit.ring.fixed import decode, encode
from tacit.secure.session import Session, Step
from tacit.secure.share import Share, Words

__all__ = ["Record", "as_floats", "decode_outputs", "encode_inputs", "stepwise", "walk"]

Progress = Callable[[int, int], None]
#: Told of every step with what it makes in this reading.
Record = Callable[[Step, Share], None]


def stepwise(plan: Plan, s: Session, inputs: Mapping[int, Words] | None = None) -> Iterator[tuple[Step, Share]]:
    """Run the steps of `plan` in the session's reading, one each time the next pair (step, its value) is asked for.

    `inputs` are the client's encoded inputs by site, online; None elsewhere. A value is dropped after its last use.
    """
    last = {i: step.site for step in plan.steps for i in step.inputs}
    values: dict[int, Share] = {}
    for step in plan.steps:
        if step.inputs:
            operands = [values[i] for i in step.inputs]
        else:
            operands = [Share(plan.inputs[step.site], None if inputs is None else inputs[step.site])]
        made = values[step.site] = run_step(s, step, operands)
        del operands
        for i in (*step.inputs, step.site):
            if last.get(i, i) <= step.site:
                values.pop(i, None)
        yield step, made


def walk(
    plan: Plan,
    s: Session,
    inputs: Mapping[int, Words] | None = None,
    *,
    progress: Progress | None = None,
    record: Record | None = None,
) -> list[Share]:
    """Run every step of `plan` (see `stepwise`) and return what the revealing steps make, in order."""
    outputs: list[Share] = []
    for step, value in stepwise(plan, s, inputs):
        if record is not None:
            record(step, value)
        if step.op == "reveal":
            outputs.append(value)
        if progress is not None:
            progress(step.site + 1, len(plan.steps))
    return outputs


def encode_inputs(plan: Plan, xs: Sequence[Any]) -> dict[int, Words]:
    """The client's inputs as words, by site. InvalidInput names the input whose shape, type or value is wrong."""
    sites = list(plan.inputs)
    if len(xs) != len(sites):
        raise InvalidInput(f"the model takes {len(sites)} inputs, not {len(xs)}")
    out = {}
    for number, (site, x) in enumerate(zip(sites, xs, strict=True), 1):
        wire = plan.inputs[site]
        value = as_floats(from_indices(x, wire.shape), f"input {number}")
        if value.shape != wire.shape:
            raise InvalidInput(
                f"input {number} has shape {value.shape}, the model takes {wire.shape} (batch first); reshape "
                f"or recompile"
            )
        largest, limit = float(np.abs(value).max(initial=0.0)), plan.ranges[site]
        if largest > limit:
            raise InvalidInput(
                f"input {number} has values up to {largest:g}, the model takes up to {limit:g}: beyond, its "
                "answers would be wrong unnoticed; scale the input as the model was trained"
            )
        out[site] = encode(value, wire.scale, wire.ring)
    return out


def as_floats(x: Any, what: str) -> NDArray[np.float64]:
    """`x` as a float64 array of finite numbers; InvalidInput otherwise."""
    try:
        value = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{what} is not an array of numbers: {error}") from error
    if not np.isfinite(value).all():
        raise InvalidInput(f"{what} contains a NaN or an infinity; clean the data first")
    return value


def decode_outputs(outputs: Sequence[Share]) -> list[NDArray[np.float64]]:
    """Real values of what was revealed."""
    return [decode(share.require(), share.wire.scale, share.wire.ring) for share in outputs]
