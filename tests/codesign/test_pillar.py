"""The range penalty against a loop, the published schedule and presets, and a run that trains on them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tacit import codesign
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.pillar import (
    PRESETS,
    WARM_UP,
    RangePenalty,
    per_sample,
    preset,
    range_penalty,
    train_pillar,
)
from tacit.codesign.ranges import certify
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput, TrainingDiverged


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data():
    return codesign.load_data("digits", size=8, examples=300)


def net(act=nn.ReLU, channels: int = 6) -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels), act(), nn.MaxPool2d(2)]
    more = [nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, *more, nn.Linear(8, 10))


def slow_penalty(inputs, bound, gamma):
    """PILLAR's formula one element at a time, with the mean over samples."""
    total = 0.0
    for x in inputs:
        for sample in x:
            total += sum((float(v) / bound) ** gamma for v in sample.reshape(-1)) / len(x)
    return total / len(inputs)


@pytest.mark.parametrize("gamma", [4, 10])
def test_the_penalty_is_the_formula(gamma: int) -> None:
    rng = torch.Generator().manual_seed(1)
    inputs = [3 * torch.randn(4, 5, 2, 2, generator=rng), 2 * torch.randn(4, 7, generator=rng)]
    assert float(range_penalty(inputs, 4.8, gamma)) == pytest.approx(slow_penalty(inputs, 4.8, gamma), rel=1e-5)


@pytest.mark.parametrize("batch", [1, 8, 128])
def test_published_coefficients_convert_to_any_batch(batch: int) -> None:
    x = torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    published = 5e-5 * float((x / 4.8).pow(10).sum())
    ours = per_sample(5e-5, batch) * float(range_penalty([x], 4.8, 10))
    assert ours == pytest.approx(published, rel=1e-5)


def test_the_penalty_per_sample_does_not_depend_on_the_batch(data) -> None:
    model = net(lambda: PolyAct(clip=5.0)).eval()
    objective = RangePenalty(alpha=1e6, warm_up=())
    objective.begin(model, data, Recipe(epochs=9, lr=0.1))
    x, y = data.train.batch(range(16))
    x = data.normalise(x)
    objective.loss(model, x, y)
    whole = objective.parts()["penalty"]
    parts = []
    for half in (slice(0, 8), slice(8, 16)):
        objective.loss(model, x[half], y[half])
        parts.append(objective.parts()["penalty"])
    assert whole == pytest.approx(sum(parts) / 2, rel=1e-4)
    assert whole > 0


def test_the_penalty_sees_inputs_before_the_clip_and_in_units_of_the_scale(data) -> None:
    scale = torch.tensor([2.0, 0.5, 1.0])
    act = PolyAct(clip=5.0, scale=scale)
    objective = RangePenalty(alpha=1.0, bound=2.0, gamma=4, warm_up=())
    model = nn.Sequential(act, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.train()
    objective.begin(model, data, Recipe(epochs=9, lr=0.1))
    x = 20 * torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(3))
    objective.loss(model, x, torch.zeros(4, dtype=torch.int64))
    wanted = slow_penalty([x / scale.reshape(1, 3, 1, 1)], 2.0, 4)
    assert objective.parts()["penalty"] == pytest.approx(wanted, rel=1e-5)


def test_warm_up_is_as_published(data) -> None:
    assert [(p.gamma, p.share, p.task) for p in WARM_UP] == [(4, 0.01, 0), (6, 0.02, 1), (8, 0.1, 1), (10, 0.2, 1)]
    objective = RangePenalty(alpha=3.0)
    assert (objective.phase(4).gamma, objective.phase(4).share, objective.phase(99).task) == (10, 1.0, 1.0)
    model = net(PolyAct).eval()
    x, y = data.train.batch(range(8))
    objective.begin(model, data, Recipe(epochs=9, lr=0.1))
    losses = []
    for epoch in (0, 4):
        objective.epoch(model, epoch)
        loss = float(objective.loss(model, data.normalise(x), y).detach())
        losses.append((loss, objective.parts()["penalty"]))
    assert losses[0][0] == pytest.approx(3.0 / 100 * losses[0][1])
    assert losses[1][0] > 3.0 * losses[1][1] + 0.5  # cross-entropy is on


def test_presets_are_the_published_numbers() -> None:
    rows = {
        name: (p.recipe.epochs, p.recipe.lr, p.recipe.batch, p.recipe.weight_decay, p.bound, p.alpha, p.degree)
        for name, p in PRESETS.items()
    }
    assert rows == {
        "resnet18/cifar10": (185, 0.013, 128, 5e-4, 4.8, 5e-5, 4),
        "resnet110/cifar10": (185, 0.013, 128, 5e-4, 4.8, 5e-5, 4),
        "minionn/cifar10": (180, 0.06, 128, 5e-4, 4.4, 5e-5, 6),
        "vgg16/cifar10": (300, 0.0025, 128, 5e-4, 4.8, 1e-6, 4),
        "vgg16/cifar100": (300, 0.0025, 128, 5e-4, 4.8, 1e-6, 4),
        "resnet18/cifar100": (185, 0.013, 128, 5e-4, 4.8, 5e-5, 6),
        "resnet32/cifar100": (150, 0.1, 128, 1e-4, 4.0, 1e-2, 5),
        "resnet50/imagenet": (600, 0.03, 1024, 2e-5, 4.8, 1e-4, 4),
    }
    for p in PRESETS.values():
        assert (p.interval, p.bits, p.gamma, p.recipe.momentum, p.recipe.nesterov) == (5.0, 10, 10, 0.9, False)
        assert (p.recipe.warmup_epochs, p.recipe.warmup_start) == (5, 0.01)
        assert p.polynomial.numerators[:5] == (322, 512, 160, 0, -3)
        assert p.polynomial.degree == 4  # whatever was requested: ten bits leave no higher power
    assert preset("resnet18/cifar10").objective().alpha == pytest.approx(6.4e-3)


def test_a_preset_trains_and_keeps_its_ranges(data) -> None:
    recipe = PRESETS["resnet18/cifar10"].recipe.replace(epochs=14, lr=0.2, warmup_epochs=1, batch=16)
    outcome = train_pillar(net(channels=12), data, "resnet18/cifar10", recipe=recipe, progress=False)
    assert outcome.test.top1 > 0.5
    assert not any(isinstance(m, nn.ReLU | nn.MaxPool2d) for m in outcome.model.modules())
    certificate = certify(outcome.model, data.test, data)
    assert certificate.largest < 20  # 300 examples: rare inputs get by the penalty, which is why there is a gate
    assert all("penalty" in epoch.parts for epoch in outcome.history)


def test_escape_stops_the_run_with_advice(data) -> None:
    model = net()
    with torch.no_grad():
        model[0].weight.mul_(1e8)
    model[1] = nn.Identity()
    with pytest.raises(TrainingDiverged, match="range"):
        train_pillar(model, data, "resnet18/cifar10", progress=False)


def test_bad_input_is_one_sentence(data) -> None:
    with pytest.raises(InvalidInput, match="no polynomial activation"):
        RangePenalty(alpha=1.0).begin(net(), data, Recipe(epochs=9, lr=0.1))
    with pytest.raises(InvalidInput, match="even"):
        RangePenalty(alpha=1.0, gamma=5)
    with pytest.raises(InvalidInput, match="alpha"):
        RangePenalty(alpha=math.nan)
    with pytest.raises(InvalidInput, match="resnet110/cifar10"):
        preset("resnet19")
