"""What the tests of DeepReDuce share: digits, and a net with two stages of two ReLUs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from tacit.codesign.data import load
from tacit.codesign.data.sets import Data


def two_stages(alpha: float = 1.0) -> nn.Module:
    """(N, 1, 8, 8) to (N, 10), with two ReLUs each at 8x8 and 4x4 pixels."""
    layers: list[nn.Module] = []
    inputs = 1
    for stage in range(2):
        for stride in (2 if stage else 1, 1):
            width = round(alpha * (4 << stage))
            layers += [nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> Data:
    return load("digits", examples=300, held_out=0.2)


@pytest.fixture
def make_net() -> object:
    return two_stages
