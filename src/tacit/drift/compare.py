"""`compare`: a plan beside its reference, layer by layer and rung by rung, and the first layer that drifts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.drift.inputs import Assertion, check_input
from tacit.drift.ladder import RUNGS, Ladder, Rung, RungName
from tacit.drift.pairing import differences, paired
from tacit.errors import InvalidInput
from tacit.front.clear import run_clear
from tacit.front.gap import Gap
from tacit.front.layers import pieces
from tacit.ir.graph import Graph, Node
from tacit.plan.plan import Plan

__all__ = ["Alarm", "Comparison", "compare"]

Arrays = Sequence[NDArray[np.float64]]

#: The same layer in float64 from two importers differs by roundings of float32 weights alone.
_FLOAT = 1e-5
#: Outputs that another framework computed in float32.
_OUTPUTS = 1e-4


@dataclass(frozen=True)
class Alarm:
    """A layer that does not do what it should: where, on which rung, of what kind, and why in a sentence.

    rung   "data" (preprocessing), "model", "fixed" or "private"
    kind   of preprocessing as `Assertion` has it; "differs", "outputs", "saturation", "fault" (beyond what rounding
           explains), "precision" (rounding, but beyond the limit) or "accumulated" (no layer alone)
    """

    layer: str
    rung: str
    kind: str
    why: str

    def __str__(self) -> str:
        return f"{self.layer} ({self.rung}, {self.kind}): {self.why}"

    def data(self) -> dict[str, str]:
        """JSON data: `layer`, `rung`, `kind`, `why`."""
        return {"layer": self.layer, "rung": self.rung, "kind": self.kind, "why": self.why}


@dataclass(frozen=True)
class Comparison:
    """Every layer on every rung, and the alarms, the first to look at first. `limit` is the nRMSE that is accepted."""

    graph: Graph = field(repr=False)
    rungs: dict[RungName, dict[str, Rung]] = field(repr=False)
    inputs: tuple[Assertion, ...]
    outputs: Gap | None
    alarms: tuple[Alarm, ...]
    limit: float
    examples: int

    @property
    def first(self) -> Alarm | None:
        """The first layer that drifts; None when all is well."""
        return self.alarms[0] if self.alarms else None

    @property
    def layers(self) -> list[Node]:
        """The layers that were measured, in order."""
        return [n for n in self.graph.nodes if any(n.id in found for found in self.rungs.values())]

    def verdict(self) -> str:
        """One sentence."""
        if self.first is None:
            names = ", ".join(name for name in RUNGS if name in self.rungs)
            return f"no layer drifts: {len(self.layers)} layers on {self.examples} examples ({names})"
        return f"first to drift: {self.first}"

    def data(self) -> dict[str, Any]:
        """JSON data with stable keys; see `tacit compare --help`."""
        return {
            "drifts": self.first is not None,
            "first": self.first.data() if self.first else None,
            "alarms": [alarm.data() for alarm in self.alarms],
            "inputs": [assertion.data() for assertion in self.inputs],
            "outputs": self.outputs.data() if self.outputs else None,
            "limit": self.limit,
            "examples": self.examples,
            "layers": [
                {
                    "layer": node.id,
                    "op": node.op,
                    "rungs": {
                        name: self.rungs[name][node.id].data() for name in RUNGS if node.id in self.rungs.get(name, ())
                    },
                }
                for node in self.layers
            ],
        }


def compare(
    plan: Plan,
    data: Arrays,
    *,
    reference: Graph | None = None,
    reference_inputs: Arrays | None = None,
    reference_outputs: Arrays | None = None,
    private: bool = True,
    limit: float | None = None,
    batches: int = 4,
    threads: int = 1,
) -> Comparison:
    """An owner's plan measured on real inputs; the private run has both parties in this process.

    data               one array per input, examples first; up to `batches` batches of the plan's size are used
    reference          the model that the plan's own should equal; layers are matched by name, else by order and kind
    reference_inputs   what the reference pipeline feeds for the same examples, to assert the preprocessing
    reference_outputs  what the reference gives for `reference_inputs` (or `data`), one array per output
    private            False leaves the private run out
    limit              nRMSE that is accepted, of a layer's own error and of what has come together; by default the
                       tolerance that the plan was compiled for

    Raises InvalidInput where shapes do not fit.
    """
    if plan.graph is None:
        raise InvalidInput("comparing needs the owner's plan, with weights; this is the public half")
    if batches < 1:
        raise InvalidInput(f"a comparison needs at least one batch, not {batches}")
    limit = _limit(plan) if limit is None else limit
    inputs = _asserted(data, reference_inputs)
    pairs = paired(reference, plan.graph) if reference is not None else {}
    ladder = Ladder(plan, reference, pairs, private=private)
    chosen = pieces(plan.graph, data, batches)
    for batch in chosen:
        ladder.climb(batch, threads=threads)
    outputs = None
    if reference_outputs is not None:
        outputs = _outputs(plan.graph, reference_inputs or data, reference_outputs, batches)
    alarms = [
        *(Alarm(plan.graph.inputs[0].id, "data", a.kind, f"{a.what}; {a.fix}") for a in inputs),
        *_of_model(ladder, reference, pairs),
        *_of_outputs(plan.graph, outputs),
        *_of_integers(ladder, limit),
    ]
    return Comparison(plan.graph, ladder.rungs, tuple(inputs), outputs, tuple(alarms), limit, len(chosen) * plan.batch)


def _limit(plan: Plan) -> float:
    measured = plan.settings.get("measured")
    tolerance = measured.get("tolerance") if isinstance(measured, dict) else None
    return tolerance if isinstance(tolerance, float) and tolerance > 0 else 1e-3


def _asserted(data: Arrays, reference: Arrays | None) -> list[Assertion]:
    if reference is None:
        return []
    if len(data) != len(reference):
        raise InvalidInput(f"the reference inputs have {len(reference)} arrays, the data {len(data)}")
    return [a for got, want in zip(data, reference, strict=True) for a in check_input(got, want)]


def _outputs(graph: Graph, inputs: Arrays, wanted: Arrays, batches: int) -> Gap:
    if len(wanted) != len(graph.outputs):
        raise InvalidInput(f"the reference outputs have {len(wanted)} arrays, the model {len(graph.outputs)} outputs")
    gap = Gap()
    for number, batch in enumerate(pieces(graph, inputs, batches)):
        for got, want in zip(run_clear(graph, *batch), wanted, strict=True):
            part = want[number * len(got) : (number + 1) * len(got)]
            if part.shape != got.shape:
                raise InvalidInput(f"the reference outputs have shape {want.shape}, one batch of the model {got.shape}")
            gap.add(got, part)
    return gap


def _of_outputs(graph: Graph, outputs: Gap | None) -> Iterator[Alarm]:
    if outputs is not None and outputs.nrmse > _OUTPUTS:
        why = f"the imported model's outputs differ from the reference's by nRMSE {outputs.nrmse:.1e}"
        yield Alarm(graph.outputs[0], "model", "outputs", f"{why}; give the reference model to find the layer")


def _of_model(ladder: Ladder, reference: Graph | None, pairs: dict[str, str]) -> Iterator[Alarm]:
    """Layers that make something else of the reference's values than the reference does."""
    if reference is None:
        return
    for node in ladder.graph.nodes:
        rung = ladder.rungs["model"].get(node.id)
        if rung is None or (not rung.broken and rung.own.nrmse <= _FLOAT):
            continue
        found = differences(reference, reference[pairs[node.id]], ladder.graph, node)
        why = "; ".join(found) or rung.broken or "its inputs are rearranged before it"
        size = "" if rung.broken else f" (nRMSE {rung.own.nrmse:.1e})"
        yield Alarm(node.id, "model", "differs", why + size)


def _of_integers(ladder: Ladder, limit: float) -> Iterator[Alarm]:
    """Faults wherever they are; rounding only where it reaches the outputs, and then where it comes from."""
    for name in ("fixed", "private"):
        found = ladder.rungs.get(name, {})
        faults = [alarm for node, rung in found.items() for alarm in _fault(node, name, rung)]
        yield from faults
        ends = [_valued(ladder.graph, out) for out in ladder.graph.outputs]
        if not faults and any(found[end].whole.nrmse > limit for end in ends if end in found):
            yield from _roundings(name, found, limit)


def _valued(graph: Graph, output: str) -> str:
    """What an output's numbers are: for labels, the values that they rank."""
    node = graph[output]
    return node.inputs[0] if node.op == "topk" else output


def _fault(node: str, name: str, rung: Rung) -> Iterator[Alarm]:
    if rung.saturated:
        why = f"{rung.saturated} of {rung.whole.count} values lie beyond the plan's range"
        yield Alarm(node, name, "saturation", f"{why}; calibrate on data like these, or raise policy.margin")
    elif rung.unexplained > 1:
        why = f"its error is {rung.unexplained:.2g} times what its rounding explains"
        yield Alarm(node, name, "fault", f"{why} (largest {rung.own.largest:.2g})")


def _roundings(name: str, found: dict[str, Rung], limit: float) -> Iterator[Alarm]:
    """Layers that round too much; where none does alone, the layer at which the roundings have come to the limit."""
    coarse = {node: rung for node, rung in found.items() if rung.own.nrmse > limit}
    for node, rung in coarse.items():
        why = f"its own rounding has nRMSE {rung.own.nrmse:.1e}, the limit is {limit:.1e}"
        yield Alarm(node, name, "precision", f"{why}; give it more bits (policy.weight_bits, input_bits, ring)")
    high = next((node for node, rung in found.items() if rung.whole.nrmse > limit), None)
    if not coarse and high is not None:
        why = f"roundings of the layers before it come to nRMSE {found[high].whole.nrmse:.1e}"
        yield Alarm(high, name, "accumulated", f"{why}; compile with a smaller tolerance or more input_bits")
