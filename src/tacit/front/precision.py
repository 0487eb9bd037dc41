"""The choice of precision: the narrowest numbers whose measured error stays within the owner's tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tacit.errors import Refused
from tacit.front.clear import run_clear
from tacit.ir.graph import Graph
from tacit.plan.measure import Reading
from tacit.plan.place import place
from tacit.plan.policy import Policy

__all__ = ["Choice", "choose", "pieces", "shown"]

Batch = tuple[NDArray[np.float64], ...]

#: (ring, input_bits, weight_bits) from the cheapest to the finest; ring 0: whatever the values need, and then weights
#: have as many bits at least, since most of the error is theirs. A ring that is given leaves them what it leaves.
_LADDER = ((32, 11, 0), (32, 10, 0), (0, 12, 16), (0, 13, 18), (0, 16, 20))
#: Batches that the error is measured on, at most.
_SAMPLES = 4


@dataclass(frozen=True)
class Choice:
    """A policy with its precision settled, and why: what each step of the ladder would have cost in accuracy."""

    policy: Policy
    error: float | None
    tried: tuple[str, ...]


def choose(
    graph: Graph, policy: Policy, bounds: Mapping[str, float], seen: Mapping[str, float], batches: Sequence[Batch]
) -> Choice:
    """`policy` with input_bits settled: as it says, or the cheapest of the ladder within its tolerance, or the finest.

    The error is that of the integers on up to four batches of calibration data, against float64.
    """
    if policy.input_bits:
        return Choice(policy, None, ())
    ladder = _within(policy.ring) if policy.ring else _LADDER
    samples = pieces(graph, batches, _SAMPLES)
    wanted = [run_clear(graph, *sample) for sample in samples]
    tried: list[str] = []
    best: Choice | None = None
    refused: Refused | None = None
    for ring, bits, weights in ladder:
        candidate = replace(policy, ring=ring, input_bits=bits, weight_bits=max(policy.weight_bits, weights))
        try:
            reading = Reading(place(graph, replace(candidate, trust="clear"), bounds, seen))
        except Refused as problem:
            tried.append(f"{_named(ring, bits, candidate.weight_bits)}: values do not fit")
            refused = problem
            continue
        error = _error([reading.outputs(sample) for sample in samples], wanted)
        tried.append(f"{_named(ring, bits, candidate.weight_bits)}: error up to {shown(error):.1e}")
        if best is None or best.error is None or error < best.error:
            best = Choice(candidate, error, ())
        if error <= policy.tolerance:
            break
    if best is None:
        assert refused is not None
        raise refused
    return replace(best, tried=tuple(tried))


def shown(error: float) -> float:
    """An error as a public plan tells it: the power of two above, since the figure itself comes from the weights and
    the data of calibration.
    """
    return 2.0 ** math.ceil(math.log2(error)) if error > 0 else 0.0


def _within(ring: int) -> list[tuple[int, int, int]]:
    """What to try in a ring that was asked for: as many bits for activations as for weights, then fewer."""
    most = Policy(ring=ring).settled().input_bits
    return [(ring, bits, 0) for bits in range(most, max(most - 4, 8), -1)]


def _named(ring: int, bits: int, weights: int) -> str:
    return f"activations of {bits} bits " + (f"in a ring of {ring}" if ring else f"and weights of {weights}")


def pieces(graph: Graph, batches: Sequence[Batch], most: int) -> list[Batch]:
    """The first inputs of the calibration data, in at most `most` batches of the graph's own size."""
    size = graph.inputs[0].shape[0]
    found: list[Batch] = []
    for batch in batches:
        for start in range(0, len(batch[0]) - size + 1, size):
            found.append(tuple(array[start : start + size] for array in batch))
            if len(found) == most:
                return found
    return found


def _error(got: Sequence[Sequence[NDArray[np.float64]]], wanted: Sequence[Sequence[NDArray[np.float64]]]) -> float:
    """Root mean square deviation over that of what was wanted from zero, over all outputs."""
    pairs = [pair for gs, ws in zip(got, wanted, strict=True) for pair in zip(gs, ws, strict=True)]
    lost = sum(float(((g - w) ** 2).sum()) for g, w in pairs)
    size = sum(float((w**2).sum()) for ws in wanted for w in ws)
    return math.sqrt(lost / size) if size else math.sqrt(lost)
