"""What the tests of the search share: a small residual net with three stages, and 8x8 digits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tacit.codesign.data import load
from tacit.codesign.data.sets import Data


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(width), nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(width), nn.ReLU()
        self.shortcut = nn.Conv2d(inputs, width, 1, stride) if stride > 1 or inputs != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + self.shortcut(x))


class SmallNet(nn.Module):
    """(N, channels, 8, 8) to (N, 10): a stem and two blocks at 4x4 and 2x2 pixels."""

    def __init__(self, width: int = 8, channels: int = 1) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)
        self.relu, self.layer1, self.layer2 = nn.ReLU(), Block(width, width, 1), Block(width, 2 * width, 2)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer2(self.layer1(self.relu(self.bn(self.stem(x))))))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> Data:
    return load("digits", examples=500, held_out=0.2)


def _trained(width: int, data: Data) -> nn.Module:
    from tacit.codesign.training.loop import train
    from tacit.codesign.training.recipe import Recipe

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = SmallNet(width)
    recipe = Recipe(epochs=3, lr=0.1, batch=20, warmup_epochs=1, threads=1, augment=False, device="cpu")
    return train(model, data, recipe, progress=False).model.eval()


@pytest.fixture(scope="session")
def net(digits: Data) -> nn.Module:
    """A small net that knows the digits."""
    return _trained(8, digits)


@pytest.fixture
def make_net() -> type[SmallNet]:
    return SmallNet
