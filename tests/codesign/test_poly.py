"""PolyAct: what it computes, its gradient, what it is in a Graph, and what its scale costs in a plan."""

from __future__ import annotations

import copy
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tacit
from tacit.codesign.activations.fit import PILLAR, Polynomial, fit
from tacit.codesign.activations.poly import PolyAct
from tacit.errors import InvalidInput
from tacit.front.load import load_model
from tacit.ir import Graph
from tacit.plan.plan import Plan

CHOICES = [Polynomial((322, 512, 160, 0, -3), 10, 5.0), fit(2, 12), fit(3, 9, target="gelu"), fit(6, 12), fit(5, 24)]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain(polynomial: Polynomial, x: torch.Tensor) -> torch.Tensor:
    return sum(v * x.double() ** i for i, v in enumerate(polynomial.values))


@pytest.mark.parametrize("polynomial", CHOICES)
@pytest.mark.parametrize("scale", [1.0, 0.75, torch.tensor([0.5, 1.0, 3.0])])
def test_both_modes_compute_the_polynomial(polynomial: Polynomial, scale: float | torch.Tensor) -> None:
    act, x = PolyAct(polynomial, scale=scale), 2 * draw(2, 3, 4, 4)
    s = scale.view(3, 1, 1) if isinstance(scale, torch.Tensor) else scale
    wanted = s * plain(polynomial, x / s)
    for mode in (True, False):
        assert torch.allclose(act.train(mode)(x).double(), wanted, rtol=1e-4, atol=1e-5)
    assert torch.allclose(act.normalised(x), x / s)


@pytest.mark.parametrize("options", [{}, {"clip": 1.0}, {"tail": 0.8}, {"clip": 1.5, "tail": 0.8}])
def test_the_gradient_is_right_and_has_one(options: dict[str, float]) -> None:
    act = PolyAct(scale=torch.tensor([0.5, 2.0]), **options).double()
    x = (2 * draw(3, 2, 5)).double().requires_grad_()
    assert torch.autograd.gradcheck(act, (x,))
    if "tail" not in options:
        assert torch.autograd.gradgradcheck(act, (x,))


def test_clip_and_tail_act_in_training_only() -> None:
    x = torch.tensor([-9.0, -2.0, 0.5, 2.0, 9.0])
    clipped, tangent, free = PolyAct(clip=2.0), PolyAct(tail=2.0), PolyAct()
    assert torch.allclose(clipped(x), free(x.clamp(-2, 2)))
    inside = x.abs() <= 2
    assert torch.allclose(tangent(x)[inside], free(x)[inside])
    ends = torch.tensor([2.0, 2.5, 3.0])
    steps = tangent(ends).diff()
    assert torch.allclose(steps[0], steps[1], atol=1e-5)
    assert not torch.allclose(tangent(x), free(x))
    for act in (clipped, tangent):
        assert torch.equal(act.eval()(x), free.eval()(x))


def test_half_precision_is_widened() -> None:
    act = PolyAct(fit(6, 12)).train()
    assert act(torch.full((4,), 60.0, dtype=torch.float16)).isfinite().all()


def test_scales_are_buffers_and_secret() -> None:
    act = PolyAct(scale=torch.tensor([0.123, 4.5]))
    assert list(act.state_dict()) == ["scale"]
    assert "0.123" not in repr(act)
    assert "2 channels" in repr(act)
    act.rescale(2.0)
    assert not act.state_dict()
    assert act.scale == 2.0
    act.rescale(torch.tensor([1.0, 2.0]))
    assert torch.equal(copy.deepcopy(act).scale, torch.tensor([1.0, 2.0]))


def test_arguments_out_of_range() -> None:
    for scale in (0.0, -1.0, float("inf"), torch.zeros(2), torch.ones(2, 2), torch.ones(0)):
        with pytest.raises(InvalidInput, match="scale"):
            PolyAct(scale=scale)
    for options in ({"clip": 0.0}, {"tail": -1.0}, {"compat": "espn"}, {"degree": 9}):
        with pytest.raises(InvalidInput):
            PolyAct(**options)
    with pytest.raises(InvalidInput, match="not both"):
        PolyAct(PILLAR, compat="pillar")
    with pytest.raises(InvalidInput, match="3 channels"):
        PolyAct(scale=torch.ones(3))(draw(2, 4))


def polynomials(graph: Graph) -> list[list[str]]:
    return [list(node.attrs["coeffs"]) for node in graph.nodes if node.op == "poly"]


def texts(polynomial: Polynomial) -> list[str]:
    return [str(Fraction(n, 1 << polynomial.bits)) for n in polynomial.numerators[: polynomial.degree + 1]]


class Net(nn.Module):
    """Convolution, norm, activation, twice."""

    def __init__(self, *acts: nn.Module) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.act1, self.act2 = acts
        self.fc = nn.Linear(4, 3)
        for bn in (self.bn1, self.bn2):
            nn.init.uniform_(bn.running_mean, -0.2, 0.2, generator=torch.Generator().manual_seed(5))
            nn.init.uniform_(bn.running_var, 0.5, 2.0, generator=torch.Generator().manual_seed(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.act2(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("polynomial", CHOICES)
def test_one_exact_node_in_the_graph(polynomial: Polynomial) -> None:
    model = Net(PolyAct(polynomial), PolyAct(compat="pillar"))
    for mode in (True, False):
        graph = load_model(model.train(mode), draw(1, 2, 6, 6))
        assert polynomials(graph) == [texts(polynomial), texts(PILLAR)]
        assert [node.op for node in graph.nodes] == ["input", "conv", "poly", "conv", "poly", "mean", "linear"]


@pytest.mark.parametrize("polynomial", CHOICES)
def test_one_exact_node_from_onnx(polynomial: Polynomial, tmp_path: Path) -> None:
    model, file = Net(PolyAct(polynomial), PolyAct(polynomial)).eval(), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (draw(1, 2, 6, 6),), str(file), dynamo=False, opset_version=17)
    assert polynomials(load_model(file)) == [texts(polynomial)] * 2


def plan_of(scale: float | torch.Tensor) -> Plan:
    torch.manual_seed(3)
    model = Net(PolyAct(scale=scale), PolyAct())
    return tacit.compile(model, draw(1, 2, 6, 6), calibration=[draw(1, 2, 6, 6, seed=i) for i in range(4)])


def test_a_public_scale_costs_nothing() -> None:
    one, other = plan_of(1.0), plan_of(2.0)
    assert [s.op for s in one.steps] == [s.op for s in other.steps]
    bills = [plan.bill("lan").data() for plan in (one, other)]
    assert bills[0]["phases"] == bills[1]["phases"]
    assert bills[0]["online_steps"] == bills[1]["online_steps"]


def test_a_secret_scale_is_folded_before_the_polynomial_and_a_step_after_it() -> None:
    """x / scale goes into the convolution and its norm; what follows the polynomial is a product of its own."""
    one, scaled = plan_of(1.0), plan_of(torch.tensor([0.5, 1.0, 2.0]))
    ops = [step.op for step in scaled.steps]
    assert ops.count("affine") == 1
    assert [op for op in ops if op not in ("affine", "remask")] == [s.op for s in one.steps if s.op != "remask"]
    x = draw(1, 2, 6, 6, seed=9)
    torch.manual_seed(3)
    with torch.no_grad():
        wanted = Net(PolyAct(scale=torch.tensor([0.5, 1.0, 2.0])), PolyAct()).eval()(x).numpy()
    assert np.allclose(tacit.simulate(scaled, x.numpy()).outputs[0], wanted, atol=2e-2)
