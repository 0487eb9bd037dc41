"""`check`: everything that would stop a model from running privately, or make it slow or inexact, in one report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tacit.errors import Refused
from tacit.front.compile import compile_model
from tacit.front.gap import Gap
from tacit.front.layers import expected, fixed_values, float_values, layer_sites, pieces
from tacit.front.load import load_model
from tacit.front.rounding import Rounding
from tacit.ir.graph import Graph
from tacit.plan.bill import Bill
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.secure.share import CLIENT, SERVER

__all__ = ["Finding", "LayerReport", "Report", "check_model"]

Arrays = Sequence[NDArray[np.float64]]
Severity = Literal["stops", "hurts", "note"]

#: A layer with this share of the time, the bytes or the material dominates a model of more than a few layers.
_DOMINANT, _FEW_LAYERS = 0.3, 4
#: A range this many times the median one is out of line; rings up to this width are as narrow as one hopes for.
_OUT_OF_LINE, _NARROW = 8.0, 32
#: A layer that alone takes this part of the tolerance is a risk.
_RISK = 1 / 3
_FEW_EXAMPLES = 100


@dataclass(frozen=True)
class Finding:
    """One thing to know: `severity` "stops", "hurts" or "note"; `kind` "never", "not yet" or "replace" (operations),
    "range", "ring", "bill", "precision", "saturation" or "data"; where, what, and what to do.
    """

    severity: Severity
    kind: str
    where: str
    what: str
    advice: str

    def data(self) -> dict[str, str]:
        """JSON data: the fields."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "where": self.where,
            "what": self.what,
            "advice": self.advice,
        }


@dataclass
class LayerReport:
    """What one layer costs online and in material, its ring and range (0: nothing is opened), and its precision."""

    layer: str
    op: str
    ring: int = 0
    range: float = 0.0
    online_bytes: int = 0
    stored_bytes: int = 0
    seconds: float = 0.0
    precision: Gap = field(default_factory=Gap)
    saturated: int = 0

    def data(self) -> dict[str, Any]:
        """JSON data: the fields, with `own_nrmse` for the precision."""
        return {
            "layer": self.layer,
            "op": self.op,
            "ring": self.ring,
            "range": self.range,
            "online_bytes": self.online_bytes,
            "stored_bytes": self.stored_bytes,
            "predicted_seconds": self.seconds,
            "own_nrmse": self.precision.data()["nrmse"],
            "saturated": self.saturated,
        }


@dataclass(frozen=True)
class Report:
    """The findings, those that stop first, and (for a model that runs) its layers and bill. `made` says that no data
    were given, so that ranges and precision are those of made inputs.
    """

    findings: tuple[Finding, ...]
    layers: tuple[LayerReport, ...] = ()
    bill: Bill | None = None
    made: bool = False

    @property
    def runs(self) -> bool:
        """Whether nothing stops the model."""
        return not any(f.severity == "stops" for f in self.findings)

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(f.severity == severity for f in self.findings)

    def data(self) -> dict[str, Any]:
        """JSON data with stable keys; see `tacit check --help`."""
        bill = self.bill.data() if self.bill else {}
        kept = ("link", "batch", "online_steps", "round_trips", "stored_bytes_client", "stored_bytes_server",
                "failure_bound", "predicted_seconds")  # fmt: skip
        return {
            "runs": self.runs,
            "counts": {"stops": self.count("stops"), "hurts": self.count("hurts"), "note": self.count("note")},
            "findings": [f.data() for f in self.findings],
            "made_inputs": self.made,
            "layers": [layer.data() for layer in self.layers],
            "bill": {key: bill[key] for key in kept} if bill else None,
        }


def check_model(
    model: Any,
    example: Any = None,
    *,
    policy: Policy | None = None,
    data: Arrays | None = None,
    network: str = "lan",
) -> Report:
    """A report on a model: a torch.nn.Module (with `example`), the path of an .onnx or .pt2 file, a Graph, or a Plan.

    data      real inputs, one array per input, examples first; made ones (normal, cut at three) if absent
    network   the link that the bill is for

    What is wrong with the model is in the report and never raised; InvalidInput and InvalidFile say that the arguments
    or the file are.
    """
    if isinstance(model, Plan):
        return _report(model, data, network, [], made=False)
    try:
        graph = load_model(model, example)
    except Refused as refused:
        return Report(tuple(Finding("stops", r.kind, r.where, r.what, r.advice) for r in refused.refusals))
    given = list(data) if data is not None else _made(graph)
    found = _of_data(len(given[0]), made=data is None)
    try:
        plan = compile_model(graph, policy=policy, calibration=[tuple(given) if len(given) > 1 else given[0]])
    except Refused as refused:
        stops = (Finding("stops", "range", r.where, r.what, r.advice) for r in refused.refusals)
        return Report((*stops, *found), made=data is None)
    return _report(plan, given, network, found, made=data is None)


def _made(graph: Graph) -> list[NDArray[np.float64]]:
    """One batch of inputs, normal and cut at three, the same each time: Box and Muller's transform of a sequence that
    fills the square evenly (Roberts).
    """
    out = []
    for node in graph.inputs:
        steps = np.arange(1, int(np.prod(node.shape)) + 1) * np.array([[0.7548776662466927], [0.5698402909980532]])
        u, v = 1 - steps % 1
        values = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)
        out.append(np.asarray(np.clip(values, -3, 3).reshape(node.shape), np.float64))
    return out


def _of_data(count: int, *, made: bool) -> list[Finding]:
    if made:
        what = "no data were given: ranges, rings and precision are those of made inputs"
        return [Finding("note", "data", "input", what, "Give real inputs with --data.")]
    if count < _FEW_EXAMPLES:
        what = f"ranges were observed on {count} examples"
        return [Finding("note", "data", "input", what, f"Give {_FEW_EXAMPLES} or more before you serve the model.")]
    return []


def _report(plan: Plan, data: Arrays | None, network: str, found: list[Finding], *, made: bool) -> Report:
    bill = plan.bill(network)
    layers = _costs(plan, bill)
    if data is not None and plan.graph is not None:
        _measure(plan, data, layers)
    findings = [*_precision(plan, layers), *_rings(plan, layers), *_dominant(layers, bill), *found]
    findings.sort(key=lambda f: ("stops", "hurts", "note").index(f.severity))
    return Report(tuple(findings), tuple(layers.values()), bill, made)


def _costs(plan: Plan, bill: Bill) -> dict[str, LayerReport]:
    layers: dict[str, LayerReport] = {}
    for row in bill.rows:
        layer = layers.setdefault(row.node, LayerReport(row.node, row.ops))
        layer.online_bytes += row.sent("online", CLIENT) + row.sent("online", SERVER)
        layer.stored_bytes += sum(row.stored)
        layer.seconds += bill.seconds([row])
    for step in plan.steps:
        if step.op in ("mask", "open", "reveal"):
            layer = layers[step.node]
            layer.ring = max(layer.ring, plan.wires[step.site].ring)
            layer.range = max(layer.range, plan.ranges[step.site])
    return layers


def _measure(plan: Plan, data: Arrays, layers: dict[str, LayerReport]) -> None:
    """Each layer's own error in integers on the first batch, and values beyond its range."""
    assert plan.graph is not None
    batch = pieces(plan.graph, data, 1)[0]
    limits = {plan.steps[site].node: plan.ranges[site] for site in plan.inputs}
    within = [np.clip(x, -limits[n.id], limits[n.id]) for x, n in zip(batch, plan.graph.inputs, strict=True)]
    floats, fixed = float_values(plan.graph, batch), fixed_values(plan, within)
    rounding, sites = Rounding(plan), layer_sites(plan)
    opened = {step.inputs[0]: plan.ranges[step.site] for step in plan.steps if step.op == "open"}
    for node in plan.graph.nodes:
        layer = layers.get(node.id)
        if layer is None or node.id not in fixed:
            continue
        want = expected(plan.graph, node, fixed)
        limit = limits.get(node.id) or opened.get(sites[node.id], np.inf)
        layer.saturated = int(np.count_nonzero(np.abs(floats[node.id]) > limit))
        if want is not None and not layer.saturated and rounding.unexplained(node, fixed, want) <= 1:
            layer.precision.add(fixed[node.id], want)


def _precision(plan: Plan, layers: dict[str, LayerReport]) -> Iterator[Finding]:
    measured = plan.settings.get("measured")
    given = measured if isinstance(measured, dict) else {}
    error, tolerance = given.get("error"), given.get("tolerance")
    tolerance = tolerance if isinstance(tolerance, float) else 1e-3
    if isinstance(error, float) and error > tolerance:
        what = (
            f"the outputs are off by {error:.1e} of their size at any precision, more than the tolerance {tolerance:g}"
        )
        yield Finding(
            "hurts", "precision", "outputs", what, "See the layers named, or accept it with policy.tolerance."
        )
    for layer in layers.values():
        if layer.saturated:
            what = f"{layer.saturated} values lie beyond the plan's range of {layer.range:g}: answers would be wrong"
            yield Finding(
                "hurts", "saturation", layer.layer, what, "Calibrate on data like these, or raise the margin."
            )
        own = layer.precision.nrmse
        if layer.precision.count and own > tolerance * _RISK:
            what = f"rounding alone puts it off by nRMSE {own:.1e}; the tolerance of the whole model is {tolerance:g}"
            yield Finding("hurts", "precision", layer.layer, what, "Give it more policy.weight_bits or input_bits.")


def _rings(plan: Plan, layers: dict[str, LayerReport]) -> Iterator[Finding]:
    """Ranges out of line that need a wide ring."""
    opened = [layer for layer in layers.values() if layer.range]
    typical = median(layer.range for layer in opened)
    for layer in opened:
        if layer.ring > _NARROW and layer.range >= _OUT_OF_LINE * typical:
            what = (
                f"values up to {layer.range:g} need a ring of {layer.ring} bits; the median layer's reach {typical:g}"
            )
            advice = "Normalise before it or train with weight decay; each bit of range costs a bit of every message."
            yield Finding("hurts", "ring", layer.layer, what, advice)
    widest = max((wire.ring for wire in plan.wires.values()), default=0)
    if widest > _NARROW:
        what = f"the widest ring has {widest} bits; within {_NARROW} linear layers take half the time and memory"
        advice = "See what Policy(ring=32) costs in accuracy, or shrink the largest ranges."
        yield Finding("note", "ring", "model", what, advice)


def _dominant(layers: dict[str, LayerReport], bill: Bill) -> Iterator[Finding]:
    if len(layers) <= _FEW_LAYERS:
        return
    kinds = {"seconds": "of the time", "online_bytes": "of the bytes", "stored_bytes": "of the material"}
    totals = {name: sum(getattr(layer, name) for layer in layers.values()) for name in kinds}
    for layer in layers.values():
        shares = {unit: getattr(layer, name) / totals[name] for name, unit in kinds.items() if totals[name]}
        high = [f"{100 * share:.0f} % {unit}" for unit, share in shares.items() if share >= _DOMINANT]
        if high:
            what = f"it takes {' and '.join(high)} on {bill.link.name} ({layer.op})"
            yield Finding("note", "bill", layer.layer, what, _cheaper(layer.op))


def _cheaper(ops: str) -> str:
    if "relu" in ops or "spline" in ops:
        return "Pool or stride before it, use fewer channels, or a polynomial, which needs an eighth of the material."
    return "Use fewer channels, a smaller kernel, or a stride in the layer before it."
