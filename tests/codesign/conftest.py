"""What the tests of co-design share: one thread, tiny data, a tiny net."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from tacit.codesign import Data, load_data


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> Data:
    """A few of scikit-learn's digits."""
    return load_data("digits", examples=200)


@pytest.fixture
def small_net() -> Callable[[], nn.Module]:
    """Makes a net for (1, 8, 8) images in 10 classes, with batch norm and dropout, the same every time."""

    def make() -> nn.Module:
        with torch.random.fork_rng([]):
            torch.manual_seed(5)
            return nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.AvgPool2d(2),
                nn.Flatten(),
                nn.Dropout(0.1),
                nn.Linear(128, 10),
            )

    return make
