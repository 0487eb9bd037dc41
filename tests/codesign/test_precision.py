"""Precision by speed: what is tried, what is precise enough, and that a wide ring wins where activations are gone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tacit.codesign.precision import candidates, compile_precise, error_of, fastest, precise
from tacit.front.clear import ranges
from tacit.front.load import load_model
from tacit.ir.graph import Graph
from tacit.plan.policy import Policy


def _graph(*activations: nn.Module) -> Graph:
    """Four convolutions, a given activation after each of the first three, and a linear layer."""
    torch.manual_seed(2)
    layers: list[nn.Module] = [nn.Conv2d(1, 4, 3, padding=1)]
    for activation in activations:
        layers += [activation, nn.Conv2d(4, 4, 3, padding=1)]
    net = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)).eval()
    return load_model(net, torch.zeros(1, 1, 4, 4))


@pytest.fixture(scope="module")
def inputs() -> list[np.ndarray]:
    return list(np.random.default_rng(3).normal(size=(6, 1, 1, 4, 4)))


def test_a_policy_that_names_its_precision_is_alone() -> None:
    assert len(candidates(Policy())) > 2
    assert [p.input_bits for p in candidates(Policy(input_bits=13))] == [13]
    assert [p.ring for p in candidates(Policy(ring=40))] == [40]
    assert len(candidates(Policy(ranges="proven"))) == 1


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4])
def test_what_is_precise_is_measured(inputs: list[np.ndarray], tolerance: float) -> None:
    graph, policy = _graph(nn.ReLU(), nn.ReLU(), nn.ReLU()), Policy(tolerance=tolerance)
    made = compile_precise(graph, inputs, policy)
    assert all(one.error <= tolerance for one in made)
    assert all(one.error == error_of(one.plan, graph, inputs) for one in made)
    assert tuple(one.policy for one in made) == precise(graph, policy, ranges(graph, inputs), inputs)
    assert sum(one.policy.ring == 0 for one in made) == 1


def test_nothing_within_the_tolerance_leaves_the_default(inputs: list[np.ndarray]) -> None:
    (only,) = compile_precise(_graph(nn.ReLU()), inputs, Policy(tolerance=0.0))
    assert only.error > 0
    assert only.policy == Policy(tolerance=0.0)


def test_a_wide_ring_is_faster_where_activations_are_gone(inputs: list[np.ndarray]) -> None:
    policy = Policy(tolerance=0.2)
    whole = compile_precise(_graph(nn.ReLU(), nn.ReLU(), nn.ReLU()), inputs, policy)
    bare = compile_precise(_graph(nn.Identity(), nn.Identity(), nn.Identity()), inputs, policy)
    assert {one.policy.ring for one in bare} == {0, 32}
    best = fastest(bare, "wan")
    assert best.policy.ring == 0
    assert best.plan.bill().turns < min(one.plan.bill().turns for one in bare if one.policy.ring)
    assert best.plan.bill().turns < fastest(whole, "wan").plan.bill().turns
