"""Unmodified networks of ReLU and max-pool: in secret they choose the same label as in the clear, every time."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import tacit
from tacit.corr.bundle import Seeds
from tacit.plan.plan import Plan
from tacit.ring.prg import Seed
from tacit.run.simulate import simulate
from tacit.zoo import digits

BATCH = 100


class Block(nn.Module):
    """A residual block of the digits network in the zoo, with ReLU for its quartics."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Conv2d(channels, out, 1, bias=False)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.act(self.norm1(self.conv1(x)))
        return self.act(self.norm2(self.conv2(inner)) + self.shortcut(x))


def untrained() -> nn.Module:
    return nn.Sequential(
        Block(1, 8), nn.MaxPool2d(2), Block(8, 16), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(64, 10)
    )


@cache
def trained() -> nn.Module:
    """Three epochs on the images that are not tested with."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, known = untrained(), {image.tobytes() for image in digits.load().test_images}
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.uint8).reshape(-1, 8, 8)
    kept = [i for i, image in enumerate(images) if image.tobytes() not in known]
    x = torch.tensor(digits.preprocess(images[kept]), dtype=torch.float32)
    y = torch.tensor(labels[kept])
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(3):
        for chosen in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimiser.step()
    return model.eval()


def seeds(*parts: object) -> Seeds:
    keys = (hashlib.sha256(repr((*parts, name)).encode()).digest()[:16] for name in ("client", "server"))
    return Seeds(*map(Seed, keys))


def planned(model: nn.Module, batch: int, example: np.ndarray, **policy: Any) -> Plan:
    calibration = [example[i : i + batch] for i in range(0, len(example) - batch + 1, batch)]
    return tacit.compile(
        model, torch.tensor(calibration[0], dtype=torch.float32), policy=tacit.Policy(**policy), calibration=calibration
    )


def logits(model: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        out: np.ndarray = model.double()(torch.tensor(x)).numpy()
    model.float()
    return out


@pytest.mark.parametrize(
    "policy",
    [{"ring": 64}, {"ring": 0}, {"ring": 0, "rounding": "exact", "tie": "poszero"}, {"ring": 0, "reveal": "argmax"}],
    ids=["ring of 64", "automatic rings", "exact rounding", "labels alone"],
)
def test_digits_get_the_same_label(policy: dict[str, Any]) -> None:
    """All 500 test images (200 for the last two), in batches of 100; accuracy shows that the network is one."""
    model, shipped = trained(), digits.load()
    x = digits.preprocess(shipped.test_images)
    plan = planned(model, BATCH, digits.preprocess(shipped.calibration_images), **policy)
    assert {step.protocol for step in plan.steps if step.op == "relu"} == {"fss"}
    want = logits(model, x)
    labels = []
    most = len(x) if policy in ({"ring": 64}, {"ring": 0}) else 2 * BATCH
    want = want[:most]
    for start in range(0, most, BATCH):
        got = simulate(plan, x[start : start + BATCH], seeds=seeds(policy, start)).outputs[0]
        if "reveal" not in policy:
            assert np.abs(got - want[start : start + BATCH]).max() < (1e-3 if policy["ring"] == 64 else 3e-2)
            got = got.argmax(1)
        labels.append(got.reshape(-1))
    assert np.array_equal(np.concatenate(labels), want.argmax(1))
    assert np.mean(want.argmax(1) == shipped.test_labels[:most]) > 0.9


def made(number: int) -> tuple[nn.Module, tuple[int, ...]]:
    """Small nets with made weights, one of each kind of gate at least."""
    torch.manual_seed(number)
    nets: list[tuple[nn.Module, tuple[int, ...]]] = [
        (nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 7)), (12,)),
        (
            nn.Sequential(
                nn.Conv2d(2, 6, 3, padding=1), nn.LeakyReLU(0.1), nn.MaxPool2d(3, 2, 1), nn.Conv2d(6, 6, 3),
                nn.ReLU6(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(6, 5),
            ),
            (2, 9, 9),
        ),
        (
            nn.Sequential(
                nn.Conv1d(3, 8, 3), nn.Hardtanh(-0.5, 0.75), nn.MaxPool1d(2, ceil_mode=True), nn.Conv1d(8, 8, 2),
                nn.Hardsigmoid(), nn.Flatten(), nn.Linear(32, 6),
            ),
            (3, 11),
        ),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10)), (1, 8, 8)),
    ]  # fmt: skip
    return nets[number]


def agree(number: int, count: int, batch: int, **policy: Any) -> None:
    """The same labels, but for logits so near each other that no precision of 16 bits tells them apart; none are."""
    model, shape = made(number)
    x = np.random.default_rng(number).normal(size=(count, *shape)).clip(-3, 3)
    plan, want = planned(model, batch, x[: 2 * batch], **policy), logits(model, x)
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        got = simulate(plan, x[part], seeds=seeds(number, policy, start)).outputs[0]
        assert np.abs(got - want[part]).max() < 5e-3
        ordered = np.sort(want[part], axis=1)
        clear_cut = ordered[:, -1] - ordered[:, -2] > 1e-3
        assert np.array_equal(got.argmax(1)[clear_cut], want[part].argmax(1)[clear_cut])
        assert clear_cut.mean() > 0.95


@pytest.mark.parametrize("number", range(4))
def test_small_nets(number: int) -> None:
    agree(number, 100, 50)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("policy", [{"ring": 64}, {"rounding": "exact"}, {"window": "exact", "tie": "poszero"}])
def test_small_nets_on_a_thousand_inputs(number: int, policy: dict[str, Any]) -> None:
    """Some seconds each."""
    agree(number, 1000, 250, **policy)
