"""The cost of a choice: seconds of one private inference on a link, from the bill of the compiled variant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import torch

from tacit.codesign.activations.fit import fit
from tacit.codesign.conversion import convert
from tacit.codesign.kinds import BOUNDED, MAXPOOL
from tacit.codesign.precision import draft_bills, precise
from tacit.codesign.search.choices import EXACT, IDENTITY, Assignment, degree, everywhere
from tacit.codesign.sites import Site, sites
from tacit.errors import InvalidInput
from tacit.front.clear import ranges
from tacit.front.fold import fold
from tacit.front.load import load_model
from tacit.ir.graph import Graph, Node
from tacit.net.shaper import LOOPBACK, parse_link
from tacit.plan.bill import Bill
from tacit.plan.cost import Rates, transfer_seconds
from tacit.plan.policy import Policy
from tacit.secure.share import CLIENT, DEALER, SERVER

__all__ = ["Costs", "Phase", "activation_sites", "edited", "seconds_of"]

#: "online": the answer's time, material made ahead. "whole": material of one inference too, as under steady load.
Phase = Literal["online", "whole"]
#: Examples that ranges of variants are observed on: rings, and so costs, move in steps of two bits.
_RANGED = 4


def activation_sites(model: torch.nn.Module, example: torch.Tensor) -> tuple[Site, ...]:
    """The sites of `model` whose activation may be another: no pools, no gates such as sigmoids, none that is fixed.

    Raises InvalidInput for a model that has none.
    """
    found = tuple(s for s in sites(model, example) if s.kind != MAXPOOL and s.kind not in BOUNDED and not s.fixed)
    if not found:
        raise InvalidInput("this model has no activation that can be replaced, so that there is nothing to search")
    return found


def seconds_of(bill: Bill, phase: Phase = "online") -> float:
    """Predicted seconds of one inference; "whole" adds what its material takes on the link, dealt and primed."""
    if phase == "online":
        return bill.seconds()
    ahead = sum(bill.sent(p, rank) for p in ("deal", "prime") for rank in (CLIENT, SERVER, DEALER))
    return bill.seconds() + transfer_seconds(bill.link, 0, ahead)


class Costs:
    """Bills of the variants of one model, each placed once: what stands at a site is changed in the model's graph.

    model     a torch.nn.Module, with the activations that `sites` finds; not changed
    example   real inputs, examples first: shapes come from the first, ranges from all
    policy    the owner's; where it leaves precision open, each variant has the fastest of those that are precise enough
              for the model as it is
    rates     the machines' measured speed; None: the cost model's defaults
    maxpool   "avg": max pools are average pools in every variant, as training makes them; or "keep"

    Raises Refused for a model that cannot be compiled, InvalidInput for one without activations.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        example: torch.Tensor,
        *,
        policy: Policy | None = None,
        rates: Rates | None = None,
        maxpool: str = "avg",
    ) -> None:
        data = example.detach().cpu()
        self._rates = rates
        found = activation_sites(model, data[:1])
        self.sizes: dict[str, int] = {site.name: site.count for site in found}
        separated = convert(model, data[:1], activation="keep", maxpool=maxpool).model  # a name for each site
        self._graph: Graph = load_model(separated, data[:1])
        _must_have(self._graph, found)
        self._inputs = [x.numpy().astype("float64") for x in data.split(1)]
        self._seen = ranges(self._graph, self._inputs)
        self.policies = precise(self._graph, policy or Policy(), self._seen, self._inputs)
        self._bills: dict[tuple[str, ...], tuple[Bill, ...]] = {}

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, in the order of a run."""
        return tuple(self.sizes)

    @property
    def reach(self) -> dict[str, float]:
        """The largest magnitude that the input of each site has on the example."""
        return {site: self._seen[self._graph[site].inputs[0]] for site in self.sizes}

    @property
    def placed(self) -> int:
        """How many variants have been placed."""
        return len(self._bills)

    def bill(self, assignment: Assignment, link: str = "lan", phase: Phase = "online") -> Bill:
        """The bill of the variant that has `assignment` at its sites, the model's own where it says nothing."""
        unknown = sorted(set(assignment) - set(self.sizes))
        if unknown:
            raise InvalidInput(f"there is no activation site {unknown[0]!r}; there are {', '.join(self.sizes)}")
        whole = {**everywhere(self.sizes), **assignment}
        key = tuple(whole[site] for site in self.sizes)
        if key not in self._bills:
            graph = edited(self._graph, whole, self._seen)
            seen = ranges(graph, self._inputs[:_RANGED])
            self._bills[key] = draft_bills(graph, self.policies, seen, LOOPBACK, self._rates)
        billed = [replace(bill, link=parse_link(link)) for bill in self._bills[key]]
        return min(billed, key=lambda bill: seconds_of(bill, phase))

    def seconds(self, assignment: Assignment, link: str = "lan", phase: Phase = "online") -> float:
        """Predicted seconds of one private inference of the variant on `link`."""
        return seconds_of(self.bill(assignment, link, phase), phase)


def edited(graph: Graph, changes: Assignment, seen: Mapping[str, float]) -> Graph:
    """`graph` with the choices `changes` at its activation nodes, by id; `seen` are magnitudes of values by node.

    A polynomial is the integer fit, stretched by a power of two so that its interval covers what its input has seen.
    """
    moved: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(moved.get(i, i) for i in node.inputs)
        choice = changes.get(node.id, EXACT)
        if choice == IDENTITY:
            moved[node.id] = inputs[0]
            continue
        if choice != EXACT:
            coeffs = _coefficients(choice, seen[node.inputs[0]])
            node = replace(node, op="poly", attrs={"coeffs": list(coeffs)}, weights={})
        nodes.append(replace(node, inputs=inputs))
    outputs = [moved.get(o, o) for o in graph.outputs]
    weights = {key: array.astype("float64") for key, array in graph.weights.items()}
    folded, ends, kept = fold(nodes, outputs, weights)
    return Graph(tuple(folded), tuple(ends), {key: array.astype("float32") for key, array in kept.items()})


def _coefficients(choice: str, seen: float) -> Sequence[str]:
    wanted = degree(choice)
    assert wanted is not None
    polynomial = fit(wanted)
    stretch = Fraction(2) ** max(0, math.ceil(math.log2(max(seen, 1e-9) / polynomial.interval)))
    exact = (Fraction(n, 1 << polynomial.bits) for n in polynomial.numerators)
    return [str(a * stretch ** (1 - power)) for power, a in enumerate(exact)]


def _must_have(graph: Graph, found: Sequence[Site]) -> None:
    """Every site is a node of the graph, by the path of its module. Raises InvalidInput."""
    known = {node.id for node in graph.nodes}
    lost = [site.name for site in found if site.name not in known]
    if lost:
        raise InvalidInput(
            f"the activation {lost[0]} is not one step of the plan; make it an nn.ReLU whose result is used"
        )
