"""Placement: a Graph becomes steps that the protocols can run, with scales, rings, remasks and openings where
needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from tacit import ops
from tacit.errors import InvalidInput, Refusal, Refused
from tacit.ir.graph import Graph, Node
from tacit.net.shaper import Link, parse_link
from tacit.plan.fixed import Fitted, ceil_log2, fit_polynomial
from tacit.plan.plan import run_step
from tacit.plan.policy import RINGS, Policy
from tacit.plan.products import factors
from tacit.plan.rings import assign_rings, spare_bits
from tacit.plan.smooth import smooth
from tacit.secure.protocol import load_protocol
from tacit.secure.session import Session, Step
from tacit.secure.share import Share, Wire

__all__ = ["Placement", "place", "settled"]

_RENAMED = {"gain": "weight", "offset": "bias"}
_IDENTITY = ["0", "1"]
#: Steps whose result is in a ring of its own choice.
_EVALUATIONS = ("poly", "relu")


class Placement:
    """The growing program. Rings are the widest here; `assign_rings` narrows them when every range is known."""

    def __init__(
        self,
        graph: Graph,
        policy: Policy,
        bounds: Mapping[str, float],
        seen: Mapping[str, float],
        spare: Mapping[str, int] | None = None,
    ) -> None:
        self.graph, self.policy, self.seen = graph, policy, seen
        self.bounds = settled(graph, bounds)
        self.steps: list[Step] = []
        self.wires: list[Wire] = []
        self.inputs: dict[int, Wire] = {}
        self.limits: dict[int, float] = {}  # site -> bound of what is opened, compared or revealed
        self.refusals: list[Refusal] = []
        self.spare = spare or {}  # bits beyond policy.weight_bits that the ring leaves to a layer's weights
        self._again: dict[tuple[str, int], int] = {}
        self._ring = policy.ring or RINGS[-1]
        self._dry = Session("dry", 0)

    def emit(self, op: str, inputs: tuple[int, ...], node: str, attrs: Mapping[str, Any], **more: Any) -> int:
        """Append a step and return its site."""
        site = len(self.steps)
        step = Step(site, op, inputs, dict(attrs), self._protocol(op), node, **more)
        operands = [Share(self.wires[i]) for i in inputs] if inputs else [Share(self.inputs[site])]
        self.wires.append(run_step(self._dry, step, operands).wire)
        self.steps.append(step)
        return site

    def _protocol(self, op: str) -> str:
        """The first protocol allowed that has every word that the op needs beyond the common ones."""
        needs = getattr(ops.load(op), "words", ()) if op in ops.names() else (op,)
        for name in self.policy.protocols:
            if all(word in load_protocol(name).kernels for word in needs):
                return name
        raise LookupError(f"no protocol that the policy allows can do {op}")

    @property
    def resolution(self) -> int:
        """Fraction bits of inputs and activations."""
        return self.policy.input_bits

    @property
    def widest(self) -> int:
        """The ring that every step has until `assign_rings` narrows them."""
        return self._ring

    @property
    def link(self) -> Link:
        """The link that the plan is made for."""
        return parse_link(self.policy.network)

    def once(self, op: str, site: int, node: str, attrs: Mapping[str, Any] | None = None) -> int:
        """`op` on `site`, emitted the first time it is asked for: one mask and one opening a wire."""
        key = (op, site)
        if key not in self._again:
            self._again[key] = self.emit(op, (site,), node, attrs or {})
        return self._again[key]

    def bound(self, node: str) -> float:
        """The public bound of a node's magnitude: a power of two."""
        return float(2.0 ** ceil_log2(max(self.bounds[node], 2.0**-20)))

    def dealt(self, site: int, node: str) -> int:
        """`site` with a dealt preset."""
        return site if self.wires[site].preset == "dealt" else self.once("remask", site, node)

    def fine(self, site: int, node: str) -> int:
        """`site` at the resolution at least, lifted once for all who need it: bits and labels count whole numbers."""
        by = math.ceil((1 << self.policy.input_bits) / self.wires[site].scale)
        return site if by <= 1 else self.once("lift", site, node, {"by": str(by)})

    def fits(self, scale: Fraction, bound: float) -> bool:
        """Whether a value below `bound` at `scale` can be opened in the widest ring allowed."""
        return Fraction(bound) * scale <= Fraction(2) ** (self._ring - 2)

    def truncated(self, site: int, node: str, source: str) -> int:
        """`site` brought back to the input scale by a degree-1 opening, once for all who need it."""
        key = ("truncated", site)
        if key not in self._again:
            self._again[key] = self.polynomial(site, node, _IDENTITY, source)
        return self._again[key]

    def polynomial(self, site: int, node: str, coeffs: list[str], source: str) -> int:
        """Open `site` (once) and evaluate; `source` is the graph node whose range `site` has."""
        if self.wires[site].scale <= 1:  # a bit or a label: the tag must have fraction bits
            site = self.fine(site, node)
        bound, scale = self.bound(source), self.wires[site].scale
        self._must_fit(node, scale, bound)
        fitted = self._fit(node, coeffs, scale, bound, source)
        opened = self.opened(site, source, source, bound)
        attrs = {
            "coeffs": [str(c) for c in fitted.coeffs],
            "shift": fitted.shift,
            "trunc": fitted.trunc,
            "value_bits": fitted.value_bits,
            "ring": self._ring,
            "scale": str(1 << self.policy.input_bits),
        }
        return self.emit("poly", (opened,), node, attrs)

    def opened(self, site: int, node: str, source: str, bound: float) -> int:
        """`site`, whose magnitude stays below `bound`, opened once for all who need it."""
        self._must_fit(node, self.wires[site].scale, bound)
        opened = self.once("open", site, node)
        self.limits[opened] = max(bound, self.limits.get(opened, 0.0))
        return opened

    def factors(self, sites: list[int], node: Node) -> list[int]:
        """See `Placer.factors`."""
        return factors(self, sites, node)

    def fanned(self, opened: int, node: str, knots: Sequence[int], bound: float) -> int:
        """The differences of an opened value from whole `knots`, which stay below `bound` as the value does."""
        self._must_fit(node, self.wires[opened].scale, bound)
        fan = self.emit("fan", (opened,), node, {"knots": [str(t) for t in knots]})
        self.limits[fan] = bound
        return fan

    def sign_bits(self, scale: Fraction, bound: float, *, exact: bool = False) -> list[int]:
        """The bits [low, high) of an opened value at `scale` below `bound` that a sign test looks at.

        Those above say nothing new. Those below the resolution are left out unless the policy's window is "exact": they
        decide between results that truncation does not keep apart either.
        """
        high = max(3, ceil_log2(Fraction(bound) * scale) + 2)
        low, window = max(0, ceil_log2(scale) - self.policy.input_bits), self.policy.window
        if exact or window == "exact":
            low = 0
        elif window != "auto":
            low = max(0, high - int(window))
        return [min(low, high - 2), high]

    def kink(
        self,
        site: int,
        node: str,
        source: str,
        slopes: tuple[int, int] = (0, 1),
        *,
        bound: float | None = None,
        truncate: bool = True,
        knots: Sequence[Fraction] = (),
    ) -> int:
        """See `Placer.kink`."""
        if knots:  # which are rounded to the value's scale
            site = self.fine(site, node)
        own, scale = bound is None, self.wires[site].scale
        most = self.bound(source) if bound is None else bound
        opened = self.opened(site, source if own else node, source, most)
        if knots:
            most *= 2
            opened = self.fanned(opened, node, [round(t * scale) for t in knots], most)
        shift = max(0, ceil_log2(scale) - self.policy.input_bits) if truncate else 0
        attrs: dict[str, Any] = {
            "shift": shift,
            "ring": self._ring,
            "scale": str(scale * max(slopes[1], 1) / (1 << shift)),
            "bits": self.sign_bits(scale, most),
            "slopes": list(slopes),
            "tie": self.policy.tie,
            "rounding": self.policy.rounding,
        }
        return self.emit("relu", (opened,), node, attrs)

    def smooth(self, site: int, node: str, source: str, function: str, low: Fraction | None) -> int:
        """See `Placer.smooth`."""
        return smooth(self, site, node, source, function, low)

    def _must_fit(self, node: str, scale: Fraction, bound: float) -> None:
        if not self.fits(scale, bound):
            advice = "Train for a smaller range, or lower policy.margin, input_bits or weight_bits."
            what = f"values up to {bound:g} do not fit a ring of {self._ring} bits"
            self.refusals.append(Refusal("not yet", node, what, advice))

    def _fit(self, node: str, coeffs: list[str], scale: Fraction, bound: float, source: str) -> Fitted:
        exact = [Fraction(c) for c in coeffs]
        seen = min(2.0 ** ceil_log2(max(self.seen.get(source, bound), 2.0**-20)), bound)
        try:
            return fit_polynomial(exact, scale, self.policy.input_bits, bound, seen, self.policy.failure_bits)
        except InvalidInput as error:
            self.refusals.append(Refusal("not yet", node, str(error), "See the ranges with `tacit bill`."))
            return Fitted(0, (0,) * len(coeffs), 0, 0.0, 0.0)

    def linear(self, node: Node, site: int) -> int:
        """A product with the server's weights: remask or truncate its input first where that is needed."""
        source = node.inputs[0]
        grown = self.wires[site].scale > (1 << self.policy.input_bits)
        if grown and not self.fits(self._out_scale(site, node), self.bound(node.id)):
            site = self.truncated(site, node.id, source)
        site = self.dealt(site, node.id)
        weight_scale = self._out_scale(site, node) / self.wires[site].scale
        shapes = {_RENAMED.get(k, k): self.graph.weights[key].shape for k, key in node.weights.items()}
        attrs = {**node.attrs, "weight_scale": str(weight_scale)}
        return self.emit(node.op, (site,), node.id, attrs, weights=shapes)

    def _out_scale(self, site: int, node: Node) -> Fraction:
        """Power-of-two scale of a product: the input's scale rounded up, times the weights' precision."""
        bits = self.policy.weight_bits + self.spare.get(node.id, 0)
        return Fraction(2) ** (ceil_log2(self.wires[site].scale) + bits)

    def aligned(self, sites: list[int], node: Node) -> list[int]:
        """The sites at one common scale: smaller scales are lifted by integers, exactly."""
        scales = [self.wires[i].scale for i in sites]
        common = scales[0]
        for scale in scales[1:]:
            ratio = scale / common
            common = common * ratio.numerator
        if not self.fits(common, self.bound(node.id)):
            fine = Fraction(1 << self.policy.input_bits)
            sites = [
                self.truncated(i, node.id, source) if self.wires[i].scale > fine else i
                for i, source in zip(sites, node.inputs, strict=True)
            ]
            if [self.wires[i].scale for i in sites] != scales:
                return self.aligned(sites, node)
        factors = [common / self.wires[i].scale for i in sites]
        return [
            i if f == 1 else self.emit("lift", (i,), node.id, {"by": str(int(f))})
            for i, f in zip(sites, factors, strict=True)
        ]


def settled(graph: Graph, bounds: Mapping[str, float]) -> dict[str, float]:
    """`bounds`, with those that follow from the operations alone in place of what was observed: a label may be any.

    An operation with an `extent` has one, and so has whatever moves such values about without the server's weights. In
    sums and products of smooth functions, which take what values lie between, the smaller of both counts: a recurrence
    would double its range at every step.
    """
    out: dict[str, float] = dict(bounds)
    certain: set[str] = set()
    smooth: set[str] = set()
    shapes = {node.id: node.shape for node in graph.nodes}
    for node in graph.nodes:
        operation = ops.load(node.op)
        extent = getattr(operation, "extent", None)
        own = None if extent is None else extent(node.attrs, *(shapes[i] for i in node.inputs))
        if own is not None:
            out[node.id] = float(own)
            smooth |= {node.id} if node.op == "smooth" else set()
        elif node.inputs and not node.weights and certain.issuperset(node.inputs) and node.op not in ("poly", "smooth"):
            derived = operation.bound(node.attrs, {}, *(out[i] for i in node.inputs))
            between = smooth.issuperset(node.inputs)
            out[node.id] = min(derived, bounds[node.id]) if between else derived
            smooth |= {node.id} if between else set()
        else:
            continue
        certain.add(node.id)
    return out


def _place_node(p: Placement, node: Node, at: dict[str, int]) -> int:
    sites = [at[i] for i in node.inputs]
    if node.op == "input":
        wire = Wire(node.shape, p.policy.ring or RINGS[-1], Fraction(1 << p.policy.input_bits), "raw")
        p.inputs[len(p.steps)] = wire
        p.limits[len(p.steps)] = p.bound(node.id)
        if not p.fits(wire.scale, p.bound(node.id)):
            what = f"inputs up to {p.bound(node.id):g} do not fit a ring of {wire.ring} bits"
            p.refusals.append(Refusal("replace", node.id, what, "Scale the input down, or lower policy.input_bits."))
        return p.emit("mask", (), node.id, {"ring": wire.ring})
    placing = getattr(ops.load(node.op), "place", None)
    if placing is not None:
        try:
            site = int(placing(p, node, sites))
            if site == sites[0]:  # the same value, so that what is known of it holds for both names
                p.bounds[node.id] = min(p.bounds[node.id], p.bounds[node.inputs[0]])
            return site
        except InvalidInput as error:
            p.refusals.append(Refusal("replace", node.id, str(error), "Change the layer, or the data of calibration."))
            return sites[0]
    if len(sites) > 1:
        sites = p.aligned(sites, node)
    if node.op == "bias":  # rounded to the value's scale
        sites = [p.fine(sites[0], node.id)]
    shapes = {k: p.graph.weights[key].shape for k, key in node.weights.items()}
    site = p.emit(node.op, tuple(sites), node.id, node.attrs, weights=shapes)
    fine = Fraction(1 << p.policy.input_bits)
    if p.fits(p.wires[site].scale, p.bound(node.id)) or all(p.wires[i].scale <= fine for i in sites):
        return site
    # Divisors, lifts or sums would make it too fine for anybody to open: its operands are brought back before.
    p.steps.pop()
    p.wires.pop()
    sites = [
        p.truncated(i, node.id, s) if p.wires[i].scale > fine else i for i, s in zip(sites, node.inputs, strict=True)
    ]
    return p.emit(node.op, tuple(p.aligned(sites, node)), node.id, node.attrs, weights=shapes)


def place(graph: Graph, policy: Policy, bounds: Mapping[str, float], seen: Mapping[str, float]) -> Placement:
    """Steps for every node of `graph`; `bounds` are magnitudes no value exceeds, `seen` the observed ones, by node id.

    Placed twice: once to find the rings, then with the bits that each ring leaves free given to the weights, which
    costs nothing. Raises Refused with everything that does not fit.
    """
    if policy.ring:  # what the weights must give up, or may have more, to meet the ring that was asked for
        wide = _place(graph, replace(policy, ring=0), bounds, seen, {})
        return _place(graph, policy, bounds, seen, spare_bits(wide, policy.ring))
    first = _place(graph, policy, bounds, seen, {})
    try:
        finer = _place(graph, policy, bounds, seen, spare_bits(first))
    except Refused:
        return first
    return finer if _size(finer) <= _size(first) else first


def _size(p: Placement) -> tuple[int, int]:
    """Steps, and bits over all rings: finer weights must add to neither."""
    return len(p.steps), sum(int(step.attrs["ring"]) for step in p.steps if "ring" in step.attrs)


def _place(
    graph: Graph, policy: Policy, bounds: Mapping[str, float], seen: Mapping[str, float], spare: Mapping[str, int]
) -> Placement:
    p = Placement(graph, policy, bounds, seen, spare)
    at: dict[str, int] = {}
    for node in graph.nodes:
        at[node.id] = _place_node(p, node, at)
    for out in graph.outputs:
        site, bound = at[out], p.bound(out)
        scale = p.wires[site].scale
        if not p.fits(scale, bound):
            what = f"outputs up to {bound:g} do not fit a ring of {policy.ring or RINGS[-1]} bits"
            p.refusals.append(Refusal("not yet", out, what, "Lower policy.margin, input_bits or weight_bits."))
        # Outputs below the input's resolution keep their own leading bits: never more is dropped than they have.
        drop = max(0, min(ceil_log2(scale) - policy.input_bits - 1, ceil_log2(Fraction(bound) * scale)))
        reveal = p.emit("reveal", (site,), out, {"drop": drop})
        p.limits[reveal] = bound
    if p.refusals:
        raise Refused(p.refusals)
    assign_rings(p)
    return p
