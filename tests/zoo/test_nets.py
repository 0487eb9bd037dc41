"""Every net of the zoo: integers against float32, private against both, and ONNX against torch.

By default the small relatives of the nets run; as published they are slow.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from tacit import zoo
from tacit.front.clear import ranges
from tacit.front.domains import with_domains
from tacit.front.load import load_model
from tacit.front.onnx import from_onnx
from tacit.ir.graph import Graph, Node
from tacit.plan.bill import Bill
from tacit.plan.compile import plan_graph
from tacit.plan.measure import Reading, noise
from tacit.plan.place import place
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate
from tacit.secure.share import CLIENT, SERVER
from tacit.zoo.bills import POLICY, expected
from tacit.zoo.net import Size

Floats = NDArray[np.float64]
#: Their small relative is that of resnet32; what is theirs alone is tested by `test_the_net_is_the_billed_one`, and at
#: published size.
ALIKE = ("resnet44", "resnet110", "resnet404")
DISTINCT = [name for name in zoo.names() if name not in ALIKE]
#: Nets whose operations others have as well: slow everywhere.
TWINS = ("alexnet", "minivgg", "resnet18", "resnet50", "vgg16")
#: Nets whose small relatives go through every test by default.
QUICK = ("autoencoder", "lenet5", "minionn", "resnet32")
#: Published nets whose material fits the memory of a small machine, all parties in one process.
SIMULATED = [name for name, facts in expected().items() if facts.dealt < 2 << 30]
BOUND = 1e-3


@dataclass
class Prepared:
    """A net with made weights: its Graph for batch 1, what float32 says on some inputs, and ranges seen on others."""

    size: Size
    model: torch.nn.Module
    graph: Graph
    seen: dict[str, float]
    policy: Policy

    @property
    def bounds(self) -> dict[str, float]:
        return {node: value * POLICY.margin for node, value in self.seen.items()}

    def reading(self) -> Reading:
        return Reading(place(self.graph, replace(self.policy, trust="clear"), self.bounds, self.seen))


@cache
def prepared(name: str, published: bool = False) -> Prepared:
    net = zoo.load(name)
    size = net.published if published else net.small
    model = size.model()
    data = each(size.inputs(4, seed=21))
    graph = with_domains(load_model(model, size.example()), data, POLICY.margin)
    policy = replace(POLICY, weight_bits=net.weight_bits)
    return Prepared(size, model, graph, ranges(graph, data), policy)


def fresh(name: str, published: bool) -> Prepared:
    """Published nets are too large to keep."""
    return prepared.__wrapped__(name, True) if published else prepared(name)


def outputs(model: torch.nn.Module, xs: tuple[NDArray[np.float32], ...]) -> list[Floats]:
    with torch.no_grad():
        found = model(*map(torch.from_numpy, xs))
    return [y.double().numpy() for y in (found if isinstance(found, tuple) else (found,))]


def each(xs: tuple[NDArray[np.float32], ...]) -> list[tuple[Floats, ...]]:
    """The batch as inputs of batch 1."""
    return [tuple(x[i : i + 1].astype(np.float64) for x in xs) for i in range(len(xs[0]))]


def joined(runs: list[list[Floats]]) -> list[Floats]:
    return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


def nrmse(got: Floats, wanted: Floats) -> float:
    return float(np.sqrt(((got - wanted) ** 2).mean() / (wanted**2).mean()))


def same_labels(got: Floats, wanted: Floats, margin: float = 0.01) -> float:
    """The share of equal argmaxes along axis 1, where the largest value is clear by `margin` of the values' size."""
    if wanted.shape[1] == 1:
        return 1.0
    ranked = np.sort(wanted, axis=1)
    clear = (ranked.take(-1, 1) - ranked.take(-2, 1)) > margin * np.sqrt((wanted**2).mean())
    return float((got.argmax(1) == wanted.argmax(1))[clear].mean()) if clear.any() else 1.0


def agree(got: list[Floats], wanted: list[Floats], share: float = 1.0) -> None:
    for g, w in zip(got, wanted, strict=True):
        assert nrmse(g, w) <= BOUND
        assert same_labels(g, w) >= share


def sizes(quick: Sequence[str], published: Sequence[str]) -> list[Any]:
    """The small relatives of all nets, slow unless `quick`, and as slow cases the nets `published`."""
    small = [pytest.param(n, False, id=n, marks=() if n in quick else pytest.mark.slow) for n in DISTINCT]
    return small + [pytest.param(n, True, id=f"{n}, published", marks=[pytest.mark.slow, LONG]) for n in published]


LONG = pytest.mark.timeout(1200)


@pytest.mark.parametrize("name", zoo.names())
def test_the_net_is_the_billed_one(name: str) -> None:
    """As published: inputs and parameters of the expected bill; a CIFAR net has as many layers as its name says."""
    size = zoo.load(name).published
    with torch.device("meta"):  # no memory for weights
        model = size.build().eval()
        model(*(torch.empty(shape) for shape in size.shapes))
    assert size.shapes == expected()[name].inputs
    assert sum(parameter.numel() for parameter in model.parameters()) == expected()[name].parameters
    if name in (*ALIKE, "resnet32"):
        weighted = [layer for layer in model.modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))]
        assert len(weighted) == int(name.removeprefix("resnet"))


@pytest.mark.parametrize(("name", "published"), sizes([name for name in DISTINCT if name not in TWINS], zoo.names()))
def test_integers_agree_with_float32(name: str, published: bool) -> None:
    """At 16 bits: nRMSE of the outputs at most 1e-3, and the same labels."""
    case = fresh(name, published)
    xs = case.size.inputs(2 if published else 8)
    reading = case.reading()
    agree(joined([reading.outputs(x) for x in each(xs)]), outputs(case.model, xs))


@pytest.mark.slow
@LONG
@pytest.mark.parametrize("name", DISTINCT)
def test_a_thousand_inputs_agree(name: str) -> None:
    case = prepared(name)
    xs = case.size.inputs(1000, seed=31)
    reading = case.reading()
    agree(joined([reading.outputs(x, threads=2) for x in each(xs)]), outputs(case.model, xs), share=0.999)


@pytest.mark.parametrize(("name", "published"), sizes(QUICK, SIMULATED))
def test_private_agrees_with_integers(name: str, published: bool) -> None:
    """One private inference through all parties: labels and values of the integers, within the bound that a plan
    states, for exactly what is billed.
    """
    case = fresh(name, published)
    plan = plan_graph(case.graph, case.policy, case.bounds, case.seen, "made")
    (x,) = each(case.size.inputs(1))
    run = simulate(plan, *x, threads=2)
    integers = case.reading().outputs(x)
    agree(run.outputs, integers)
    for got, wanted, bound in zip(run.outputs, integers, noise(plan, each(case.size.inputs(2, seed=21))), strict=True):
        assert bound is not None
        assert np.abs(got - wanted).max() <= bound
    _billed(plan.bill(), run.stored)


def _billed(bill: Bill, stored: tuple[int, int]) -> None:
    """What the parties hold after priming is what the bill says, seeds aside, which a simulation keeps elsewhere."""
    for rank in (CLIENT, SERVER):
        assert 0 <= bill.stored(rank) - stored[rank] < 64


@pytest.mark.parametrize(("name", "published"), sizes(QUICK, zoo.names()))
def test_onnx_gives_the_same_graph(name: str, published: bool) -> None:
    """Exported by torch and imported again: the same nodes and attributes, and weights up to folding in float32."""
    case = fresh(name, published)
    example = case.size.example()
    graph = load_model(case.model, example)  # without the domains that calibration adds
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        inputs = example if isinstance(example, tuple) else (example,)
        torch.onnx.export(case.model, inputs, file, dynamo=False, opset_version=20)
    again = from_onnx(onnx.load_from_string(file.getvalue()))
    twins = paired(graph, again)
    assert sorted(twins) == sorted(node.id for node in graph.nodes)
    assert sorted(twins.values()) == sorted(node.id for node in again.nodes)


def paired(ours: Graph, theirs: Graph) -> dict[str, str]:
    """Nodes of one graph and the same ones of the other, from the outputs up; AssertionError where they differ.

    Names and the order of independent nodes are free, weights may differ by rounding.
    """
    twins: dict[str, str] = {}
    left, right = ({node.id: node for node in graph.nodes} for graph in (ours, theirs))
    waiting = list(zip(ours.outputs, theirs.outputs, strict=True))
    while waiting:
        mine, other = waiting.pop()
        assert twins.get(mine, other) == other
        if mine not in twins:
            twins[mine] = other
            _same_node(ours, left[mine], theirs, right[other])
            waiting += zip(left[mine].inputs, right[other].inputs, strict=True)
    return twins


def _same_node(ours: Graph, x: Node, theirs: Graph, y: Node) -> None:
    assert (x.op, x.shape, dict(x.attrs), set(x.weights)) == (y.op, y.shape, dict(y.attrs), set(y.weights))
    for slot, key in x.weights.items():
        w = ours.weights[key]
        np.testing.assert_allclose(theirs.weights[y.weights[slot]], w, rtol=1e-4, atol=1e-5 * np.abs(w).max())


def test_pairing_finds_differences() -> None:
    """The comparison fails for another attribute, another weight and another wiring."""
    graph = prepared("lenet5").graph
    spoilt = [replace(n, attrs={**n.attrs, "stride": [3, 3]}) if n.op == "conv" else n for n in graph.nodes]
    halved = {key: w * 0.999 for key, w in graph.weights.items()}
    for other in (Graph(tuple(spoilt), graph.outputs, graph.weights), Graph(graph.nodes, graph.outputs, halved)):
        with pytest.raises(AssertionError):
            paired(graph, other)
    assert all(mine == other for mine, other in paired(graph, graph).items())
