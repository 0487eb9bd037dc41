"""StochasticReLU: the law counted over every mask, against the gates of the protocol, and the field's own law."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import tacit
from tacit.codesign.activations.stochastic import MODES, StochasticReLU, stochastic
from tacit.codesign.conversion import convert
from tacit.errors import InvalidInput
from tacit.front.load import load_model
from tacit.plan.policy import Policy


class Counted(StochasticReLU):
    """Every mask once: entry i of the last axis has mask i."""

    def _uniform(self, like: torch.Tensor, bits: int) -> torch.Tensor:
        return torch.arange(1 << bits).expand_as(like)


def share(module: StochasticReLU, y: np.ndarray, masks: int) -> np.ndarray:
    """How often each whole number passes, of `masks` trials."""
    x = torch.tensor(y, dtype=torch.float64)[:, None].expand(-1, masks) / module.unit
    return module.passes(x).double().mean(1).numpy()


def law(y: np.ndarray, drop: int, mode: str) -> np.ndarray:
    """The published tie law, in words of the paper: P[y is taken for positive]."""
    unit, right = 1 << drop, (y >= 0).astype(float)
    ties = np.clip(1 - np.abs(y) / unit, 0, 1)
    return right - ties * (y >= 0) if mode == "poszero" else right + ties * (y < 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("drop", [0, 1, 4, 7])
def test_the_law_over_every_mask(mode: str, drop: int) -> None:
    y = np.arange(-300, 301)
    assert np.array_equal(share(Counted(12, 3, drop, mode), y, 1 << drop), law(y, drop, mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("drop", [0, 3])
def test_the_fields_law_over_every_mask(mode: str, drop: int) -> None:
    """Circa's: |y| / p more for every y, to within the ties' own share of it."""
    bits = 10
    y = np.arange(-64, 65)
    got = share(Counted(bits, 0, drop, mode, wrap=True), y, 1 << bits)
    tied, right = law(y, drop, mode), (y >= 0).astype(float)
    faults = np.abs(y) / (1 << bits)
    assert np.all(np.abs(np.abs(got - right) - np.abs(tied - right) - faults) <= (1 << drop) / (1 << bits))
    if drop == 0:
        sure = y != 0
        assert np.array_equal(np.abs(got - right)[sure], faults[sure])


def test_values_beyond_the_window_come_around() -> None:
    """The window reads y mod 2^bits, as the gate does: no more than that is promised there."""
    y = np.array([127, 128, 255, 256, -129, -128])
    got = share(Counted(8, 0, 0), y, 1)
    assert np.array_equal(got, [1, 0, 0, 1, 1, 0])


def measured(policy: Policy, values: np.ndarray, draws: int) -> tuple[np.ndarray, StochasticReLU]:
    """The share of values that pass ReLU's gate in a simulated run, and the module for that gate."""
    x = torch.tensor(np.repeat(values, draws)[None], dtype=torch.float32)
    plan = tacit.compile(nn.Sequential(nn.ReLU()), x, policy=policy)
    module = StochasticReLU.from_plan(plan, "0")
    out = tacit.simulate(plan, x.numpy()).outputs[0].reshape(len(values), draws)
    return (out != 0).mean(1), module


def check_gate(mode: str, draws: int, tolerance: float) -> None:
    """A gate's statistics, the module's, and the law, at values around the window's end."""
    bits, window = 12, 10
    drop = bits + 2 - window  # of a range of 1
    fractions = np.array([-1.5, -1.0, -0.75, -0.5, -0.125, 0.125, 0.5, 0.75, 1.0, 4.0])
    values = np.append(fractions * 2.0 ** (drop - bits), 1.0)
    gate, module = measured(Policy(input_bits=bits, window=window, tie=mode, margin=1.0), values, draws)
    assert (module.drop, module.bits, module.unit, module.mode) == (drop, bits + 2, 1 << bits, mode)
    y = np.round(values * module.unit).astype(int)
    assert np.abs(gate - share(module, y, draws)).max() < tolerance
    assert np.abs(gate - law(y, drop, mode)).max() < tolerance


@pytest.mark.parametrize("mode", MODES)
def test_the_protocols_gate_has_the_same_law(mode: str) -> None:
    check_gate(mode, 1 << 13, 0.035)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_protocols_gate_has_the_same_law_to_three_decimals(mode: str) -> None:
    check_gate(mode, 1 << 20, 0.004)


def test_faults_are_reproducible_and_new_each_time() -> None:
    x = torch.full((1000,), -0.25)
    one, other = StochasticReLU(16, 4, 3, seed=1), StochasticReLU(16, 4, 3, seed=1)
    first = one(x)
    assert torch.equal(first, other(x))
    assert not torch.equal(first, one(x))
    assert torch.equal(first, copy.deepcopy(one)(x))
    assert set(first.unique().tolist()) == {-0.25, 0.0}


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_is_relus(mode: str) -> None:
    x = torch.linspace(-1, 1, 64, requires_grad=True)
    StochasticReLU(16, 4, 6, mode)(x).sum().backward()
    assert torch.equal(x.grad, (x > 0).float())


def test_in_a_graph_it_is_a_relu() -> None:
    model = nn.Sequential(nn.Linear(4, 4), StochasticReLU(16, 4, 3), nn.Linear(4, 2))
    graph = load_model(model, torch.zeros(1, 4))
    assert [node.op for node in graph.nodes] == ["input", "linear", "relu", "linear"]


def test_a_plans_own_faults_in_its_model() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(1))
    plan = tacit.compile(model, x[:1], policy=Policy(window=9, tie="poszero"), calibration=[x[:1], x[1:2]])
    noisy = convert(model, x, activation=stochastic(plan, seed=4)).model
    gates = [module for module in noisy.modules() if isinstance(module, StochasticReLU)]
    assert [gate.mode for gate in gates] == ["poszero", "poszero"]
    assert all(gate.bits - gate.drop == 9 for gate in gates)
    with torch.no_grad():
        exact, faulty = model(x), noisy(x)
    assert 0 < (exact - faulty).abs().max() < 1


def test_comparisons_of_max_pools_are_no_relus() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 3)
    ).eval()
    x = torch.randn(2, 1, 8, 8)
    plan = tacit.compile(model, x[:1], policy=Policy(window=16), calibration=[x[:1], x[1:]])
    assert list(stochastic(plan)) == ["1"]
    noisy = convert(model, x, activation=stochastic(plan), maxpool="keep").model
    assert isinstance(noisy[1], StochasticReLU)
    assert isinstance(noisy[2], nn.MaxPool2d)
    with pytest.raises(InvalidInput, match="no ReLU '2"):
        StochasticReLU.from_plan(plan, "2.2")


def test_arguments_out_of_range() -> None:
    for arguments in ((16, 4, 15), (1, 0, 0), (16, -1, 2), (16, 4, 2, "negzero")):
        with pytest.raises(InvalidInput):
            StochasticReLU(*arguments)
    plan = tacit.compile(nn.Sequential(nn.ReLU()), torch.ones(1, 3))
    with pytest.raises(InvalidInput, match="it has 0"):
        StochasticReLU.from_plan(plan, "1")
