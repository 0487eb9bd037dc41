"""The benchmark nets have the published sizes and pools, and quartics' inputs stay within the range they promise."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

Load = Callable[[str], ModuleType]

#: Parameters (biases in place of batch norms) and activations of one image, counted from the papers' tables.
SIZES = {
    "lenet5": (61_706, 6 * 28 * 28 + 16 * 10 * 10 + 120 + 84),
    "minionn": (164_954, 2 * 64 * 32 * 32 + 2 * 64 * 16 * 16 + 64 * 8 * 8 + 64 * 8 * 8 + 16 * 8 * 8),
    "resnet32": (465_674, 11 * 16 * 32 * 32 + 10 * 32 * 16 * 16 + 10 * 64 * 8 * 8),
    "resnet18": (11_169_162, 5 * 64 * 32 * 32 + 4 * (128 * 16 * 16 + 256 * 8 * 8 + 512 * 4 * 4)),
    "vgg16": (14_719_818, 2 * 64 * 1024 + 2 * 128 * 256 + 3 * 256 * 64 + 3 * 512 * 16 + 3 * 512 * 4),
    "resnet110": (1_726_570, 37 * 16 * 32 * 32 + 36 * 32 * 16 * 16 + 36 * 64 * 8 * 8),
    "resnet50": (25_530_472, 9_608_704),
}
LARGE = ("resnet110", "resnet50")
#: Max pools of the published nets; CIFAR-size residual nets and MiniONN's have none.
MAX_POOLS = {"lenet5": 2, "vgg16": 5, "resnet50": 1}


@pytest.mark.parametrize("activation", ["quartic", "relu"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LARGE else ()) for n in SIZES])
def test_net(load: Load, name: str, activation: str) -> None:
    models = load("lib.models")
    model = models.build(name, activation, calibration=2)
    x = torch.from_numpy(models.images(name, 2))
    counts: list[int] = []
    kind, other = (models.Quartic, torch.nn.ReLU) if activation == "quartic" else (torch.nn.ReLU, models.Quartic)
    assert not any(isinstance(layer, other) for layer in model.modules())
    for layer in model.modules():
        if isinstance(layer, kind):
            layer.register_forward_hook(lambda _layer, _args, y: counts.append(y[0].numel()))
    largest = models.largest_input(model, x)
    assert activation == "relu" or largest <= models.INPUT_RANGE
    pools = sum(isinstance(layer, torch.nn.MaxPool2d) for layer in model.modules())
    assert pools == (MAX_POOLS.get(name, 0) if activation == "relu" else 0)
    assert (sum(p.numel() for p in model.parameters()), sum(counts)) == SIZES[name]


def test_every_net_is_listed(load: Load) -> None:
    assert set(load("lib.models").NETS) == set(SIZES)


def test_largest_input_sees_what_activations_see(load: Load) -> None:
    models = load("lib.models")
    for activation in (models.Quartic(), torch.nn.ReLU()):
        model = torch.nn.Sequential(torch.nn.Identity(), activation)
        assert models.largest_input(model, torch.tensor([-9.5, 3.0])) == 9.5


def test_the_same_weights_every_time(load: Load) -> None:
    models = load("lib.models")
    first, second = (models.build("lenet5").state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
