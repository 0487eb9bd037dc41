"""SNL's gates: their values, their training under a budget, and what fixed selections cost in the plan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tacit
from tacit.codesign.data.sets import Data
from tacit.codesign.pricing import calibration, evaluated
from tacit.codesign.search.gates import Gate, GatePenalty, Selected, gated, gates, kept, settle, snl
from tacit.codesign.training.objective import CrossEntropy
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput
from tacit.plan.policy import Policy

RECIPE = Recipe(epochs=2, lr=0.02, batch=32, warmup_epochs=0, threads=1, augment=False, device="cpu")


def _x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("grain", ["channel", "pixel"])
def test_a_gate_is_between_relu_and_identity(grain: str) -> None:
    x = _x(2, 3, 4, 4)
    gate = Gate((3, 4, 4), grain)  # type: ignore[arg-type]
    assert torch.equal(gate(x), torch.relu(x))
    assert gate.count == 48
    nn.init.constant_(gate.c, 0.25)
    assert torch.allclose(gate(x), 0.25 * torch.relu(x) + 0.75 * x)
    nn.init.constant_(gate.c, -1.0)
    assert torch.equal(gate(x), x)
    assert gate.count == 0


def test_the_penalty_reaches_gates_that_a_step_took_beyond_1() -> None:
    gate = Gate((2, 3, 3))
    nn.init.constant_(gate.c[0], 1.5)
    nn.init.constant_(gate.c[1], -0.5)
    assert gate.size() == 9
    gate.size().backward()
    assert gate.c.grad is not None
    assert gate.c.grad.reshape(-1).tolist() == [9, 0]
    x = _x(4, 2, 3, 3)
    assert torch.equal(gate(x), torch.stack([torch.relu(x[:, 0]), x[:, 1]], 1))


@pytest.mark.parametrize(
    ("mask", "pixels"),
    [
        (torch.tensor([True, False, True]).reshape(3, 1, 1), 16),
        (torch.arange(48).reshape(3, 4, 4) % 5 == 0, 1),
        (torch.ones(3, 1, 1), 16),
        (torch.zeros(3, 4, 4), 1),
    ],
)
def test_a_selection_is_relu_at_its_places(mask: Tensor, pixels: int) -> None:
    x = _x(2, 3, 4, 4)
    selected = Selected(mask, pixels)
    assert torch.equal(selected(x), torch.where(mask.bool().expand(3, 4, 4), torch.relu(x), x))
    assert selected.comparisons == int(mask.bool().expand(3, 4, 4).sum())


def test_a_selection_of_features() -> None:
    x, mask = _x(2, 6), torch.tensor([True, False, True, True, False, False])
    assert torch.equal(Selected(mask)(x), torch.where(mask, torch.relu(x), x))


@pytest.mark.parametrize("grain", ["channel", "pixel"])
def test_settling_keeps_the_widest_open_gates(net: nn.Module, digits: Data, grain: str) -> None:
    example = calibration(digits, 1)[0]
    made = gated(net, example, grain)  # type: ignore[arg-type]
    assert kept(made) == 512
    generator = torch.Generator().manual_seed(2)
    for _, gate in gates(made):
        gate.c.data.uniform_(generator=generator)
    values = {name: gate.c.detach().clone() for name, gate in gates(made)}
    settle(made, 250)
    chosen = {name: layer for name, layer in made.named_modules() if isinstance(layer, Selected)}
    assert set(chosen) == set(values)
    assert 200 < sum(layer.comparisons for layer in chosen.values()) <= 250
    lowest_kept = min(float(values[n].reshape(-1)[s.through].min()) for n, s in chosen.items() if len(s.through))
    highest_gone = max(float(values[n].reshape(-1)[s.past].max()) for n, s in chosen.items() if len(s.past))
    assert lowest_kept > highest_gone


def test_the_penalty_closes_gates_and_grows(net: nn.Module, digits: Data) -> None:
    made = gated(net, calibration(digits, 1)[0])
    objective = GatePenalty(CrossEntropy(), 100, weight=1e-6, growth=2.0)
    objective.begin(made, digits, RECIPE)
    objective.epoch(made, 0)
    assert objective.weight == 1e-6
    objective.epoch(made, 1)  # nothing closed since
    assert objective.weight == 2e-6
    x, y = digits.train.batch(range(8))
    objective.loss(made, digits.normalise(x), y).backward()
    assert all(float(gate.c.grad.min()) != 0 for _, gate in gates(made))
    restored = GatePenalty(CrossEntropy(), 100)
    restored.restore(objective.state())
    assert restored.weight == 2e-6


def test_snl_meets_its_budget(net: nn.Module, digits: Data) -> None:
    found = snl(net, digits, RECIPE, 200, weight=1e-3, progress=False)
    assert 0 < found.comparisons <= 200
    assert found.comparisons == sum(found.sites.values())
    assert found.outcome.test.top1 > 0.5
    batches = calibration(digits, 4)
    plan = tacit.compile(found.outcome.model.cpu(), batches[0], calibration=batches)
    assert plan.graph is not None
    assert evaluated(plan.graph)["exact"] == found.comparisons
    x = batches[1]
    with torch.no_grad():
        clear = found.outcome.model(x).numpy()
    private = tacit.simulate(plan, x.numpy()).outputs[0]
    assert np.abs(private - clear).max() < 0.02 * np.abs(clear).max()


def test_what_half_the_channels_cost() -> None:
    """Fewer keys, but as many messages: what is passed on is in the fine scale of the layer before, and meets the rest.

    Only a layer that loses all of its comparisons saves messages.
    """
    torch.manual_seed(0)
    policy, x = Policy(input_bits=11), _x(1, 8, 8, 8)

    def bill(activation: nn.Module) -> object:
        layers = (nn.Conv2d(8, 8, 3, padding=1), activation, nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten())
        net = nn.Sequential(*layers, nn.Linear(512, 4)).eval()
        return tacit.compile(net, x, policy=policy).bill("lan")

    half = bill(Selected(torch.arange(8).reshape(8, 1, 1) < 4, 64))
    whole, none = bill(nn.ReLU()), bill(nn.Identity())
    assert half.sent("deal", 2) < whole.sent("deal", 2)  # type: ignore[attr-defined]
    assert half.turns >= whole.turns > none.turns  # type: ignore[attr-defined]


def test_bad_input(net: nn.Module, digits: Data) -> None:
    with pytest.raises(InvalidInput, match="0 or more"):
        snl(net, digits, RECIPE, -1)
    with pytest.raises(InvalidInput, match='by "channel" or by "pixel"'):
        Gate((3, 4, 4), "row")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="gates are for ReLU"):
        gated(nn.Sequential(nn.Linear(4, 4), nn.GELU()), torch.zeros(1, 4))
