"""Nets of cells: ReLUs of the built modules, of the Graph and of the bill; the shared child computes what they do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tacit
from tacit.codesign.cryptonas.child import SharedChild
from tacit.codesign.cryptonas.graph import as_graph
from tacit.codesign.cryptonas.latency import made
from tacit.codesign.cryptonas.layers import Merge, Reduction, operation
from tacit.codesign.cryptonas.net import CellNet
from tacit.codesign.cryptonas.space import OPERATIONS, Cell, Space, published
from tacit.errors import InvalidInput
from tacit.front.clear import observe, run_clear
from tacit.front.load import load_model
from tacit.ir import Graph
from tacit.plan.bill import Bill
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy

COUNTS = {"cnet1": 86_016, "cnet2": 344_064, "cnet3": 1_376_256}
TINY = Space(6, 4, 8, classes=5, operations=OPERATIONS)
POLICY = Policy(input_bits=12, weight_bits=14)


def built_relus(net: nn.Module, shape: tuple[int, ...]) -> int:
    """Values that pass a ReLU module in one run; on the device "meta", where nothing is computed."""
    seen: list[int] = []
    for layer in net.modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda module, given, y: seen.append(math.prod(y.shape[1:])))
    net.to("meta")(torch.zeros(shape, device="meta"))
    return sum(seen)


def graph_relus(graph: Graph, example: torch.Tensor) -> int:
    """The same in a Graph."""
    sizes: dict[str, int] = {}
    observe(graph, [example.numpy()], lambda node, value: sizes.__setitem__(node.id, value.size))
    assert {node.op for node in graph.nodes} >= {"relu", "conv"}
    return sum(sizes[node.id] for node in graph.nodes if node.op == "relu")


def billed_relus(plan: Plan) -> int:
    """The same in the bill, where truncations between linear layers are evaluations too."""
    return sum(row.evaluations for row in plan.bill().rows if "relu" in row.ops.split("+"))


@pytest.mark.parametrize("name", COUNTS)
def test_relus_of_the_built_nets(name: str) -> None:
    with torch.device("meta"):
        net = CellNet(*published(name))
    assert built_relus(net, (1, 3, 32, 32)) == COUNTS[name]


def test_relus_of_cnet1_in_graph_and_bill() -> None:
    space, cell = published("cnet1")
    graph, example = as_graph(made(space, cell)), torch.randn(1, 3, 32, 32)
    assert graph_relus(graph, example) == COUNTS["cnet1"]
    assert billed_relus(tacit.compile(graph, example, policy=POLICY)) == COUNTS["cnet1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnet2", "cnet3"])
def test_relus_of_the_larger_nets_in_graph_and_bill(name: str) -> None:
    space, cell = published(name)
    plan = tacit.compile(as_graph(made(space, cell)), torch.randn(1, 3, 32, 32), policy=POLICY)
    assert billed_relus(plan) == COUNTS[name]


@pytest.mark.parametrize("seed", range(8))
def test_the_written_graph_is_the_net(seed: int) -> None:
    """Same logits, also of reductions of reductions; each ReLU reads convolutions of earlier ReLUs, one deep."""
    space = Space(9, 3, 8, classes=5, operations=OPERATIONS)
    net = made(space, space.draw(torch.Generator().manual_seed(seed)), seed=seed)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    graph = as_graph(net)
    with torch.no_grad():
        wanted = net(x).numpy()
    assert np.abs(run_clear(graph, x.numpy())[0] - wanted).max() < 1e-5 * np.abs(wanted).max()
    ops = {node.id: node.op for node in graph.nodes}
    for node in graph.nodes:
        if node.op == "conv":
            assert ops[node.inputs[0]] in ("input", "relu", "poly", "sumpool", "max")


def test_an_odd_number_of_channels_is_written_too() -> None:
    net = made(Space(3, 1, 4, classes=2, growth=1), Cell.parse("conv3 conv3+0 sep5+0,1"))
    x = torch.randn(1, 3, 4, 4)
    with torch.no_grad():
        assert np.allclose(run_clear(as_graph(net), x.numpy())[0], net(x).numpy(), atol=1e-5)


SKIPPING = Cell.parse("conv3 sep3+0 conv5+0,1 sep5 conv3+0,2 conv3+1,3")


def bill_of(model: Any) -> Bill:
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return tacit.compile(model, x[:1], policy=POLICY, calibration=[x]).bill("lan")


def test_skips_take_no_round() -> None:
    """Nor do merges, reductions and separable convolutions: two steps a ReLU, one for the input, one for the logits."""
    space = Space(6, 4, 8, classes=5)
    straight = bill_of(as_graph(made(space, Cell(SKIPPING.operations, ((),) * 6))))
    skipping = bill_of(as_graph(made(space, SKIPPING)))
    assert skipping.turns == straight.turns == 2 * 6 + 2
    assert skipping.seconds() > straight.seconds()


@pytest.mark.slow
def test_the_written_graph_costs_less_than_the_traced_one() -> None:
    space = Space(6, 4, 8, classes=5)
    net, example = made(space, SKIPPING), torch.randn(1, 3, 8, 8)
    written, traced = bill_of(as_graph(net)), bill_of(net)
    assert traced.turns > written.turns
    assert traced.seconds() > 1.3 * written.seconds()
    assert graph_relus(load_model(net, example), example) == space.relus


def test_skips_and_reductions_have_no_relu() -> None:
    assert not [m for part in (Merge(4, 3), Reduction(4, 16)) for m in part.modules() if isinstance(m, nn.ReLU)]
    cell = Cell.parse("conv3 sep3+0 conv5+0,1 sep5 avg+0,1,2 max+1,3")
    assert built_relus(CellNet(TINY, cell), (1, 3, 8, 8)) == TINY.relus


def test_a_compiled_net_computes_what_the_module_does() -> None:
    net = made(TINY, Cell.parse("conv3 sep3+0 conv5+0,1 sep5 avg+0,1,2 max+1,3"))
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    plan = tacit.compile(as_graph(net), x[:1], calibration=[x])
    with torch.no_grad():
        wanted = net(x[:1]).numpy()
    (got,) = tacit.simulate(plan, x[:1].numpy()).outputs
    assert np.abs(got - wanted).max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("seed", range(6))
def test_the_shared_child_computes_what_the_cells_net_does(seed: int) -> None:
    """With the child's weights put into the net of the cell, both by the statistics of the batch."""
    torch.manual_seed(seed)
    child = SharedChild(TINY, dropout=0.0).train()
    cell = TINY.draw(torch.Generator().manual_seed(seed))
    net = CellNet(TINY, cell).train()
    _inherit(net, child)
    x = torch.randn(16, 3, 8, 8)
    assert torch.allclose(child(x, cell), net(x), atol=1e-5)


def _inherit(net: CellNet, child: SharedChild) -> None:
    net.stem.load_state_dict(child.stem.state_dict(), strict=False)
    net.classifier.load_state_dict(child.classifier.state_dict())
    for layer, (name, skips) in enumerate(zip(net.cell.operations, net.cell.skips, strict=True)):
        net.layers[layer].load_state_dict(child.layers[layer][name].state_dict(), strict=False)
        if skips:
            shared, own = child.merges[layer - 1], net.merges[str(layer)]
            width = shared.channels
            columns = [torch.arange(width) + width * place for place in (*skips, layer)]
            own.load_state_dict(
                shared.state_dict() | {"conv.weight": shared.conv.weight[:, torch.cat(columns)]}, strict=False
            )
    for name, reduction in net.reductions.items():
        reduction.load_state_dict(child.reductions[name].state_dict(), strict=False)


def test_only_the_weights_of_the_cell_get_gradients() -> None:
    child = SharedChild(TINY)
    cell = Cell.parse("conv3 conv3 conv3 conv3 conv3 conv3+4")
    child(torch.randn(8, 3, 8, 8), cell).sum().backward()
    assert child.layers[0]["conv3"].conv.weight.grad is not None
    assert child.layers[0]["sep5"].point.weight.grad is None
    used = child.merges[4].conv.weight.grad.unflatten(1, (-1, 64)).abs().sum((0, 2, 3, 4)) > 0
    assert used.tolist() == [False, False, False, False, True, True]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_begins_with_its_relu_and_keeps_the_shape(name: str) -> None:
    layer = operation(name, 6)
    assert isinstance(layer[0], nn.ReLU)
    assert isinstance(layer[-1], nn.BatchNorm2d)
    assert layer(torch.randn(2, 6, 4, 4)).shape == (2, 6, 4, 4)


def test_a_reduction_sees_even_places_and_those_right_below() -> None:
    reduction = Reduction(1, 2)
    nn.init.ones_(reduction.even.weight)
    nn.init.ones_(reduction.odd.weight)
    reduction.norm = nn.Identity()
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert reduction(x)[0].tolist() == [[[0, 2], [8, 10]], [[5, 7], [13, 15]]]


def test_a_cell_of_another_depth_is_refused() -> None:
    with pytest.raises(InvalidInput, match="3 layers, the space 6"):
        CellNet(TINY, Cell.parse("conv3 conv3 conv3"))
