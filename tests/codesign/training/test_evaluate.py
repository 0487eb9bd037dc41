"""Evaluation against counting by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tacit.codesign import Data, evaluate
from tacit.codesign.data.sets import Images
from tacit.codesign.training.devices import autocast, find_device
from tacit.errors import InvalidInput


class Table(nn.Module):
    """Gives row i of a table for the image whose level is i, and remembers how it was called."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows, self.levels, self.modes = torch.tensor(rows), torch.empty(0), set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.modes.add(self.training)
        return self.rows[(x[:, 0, 0, 0] * 255).round().long()]


def numbered(count: int, labels: list[int], classes: int = 2) -> Data:
    """Image i has the level i."""
    pixels = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    images = Images(pixels, torch.tensor(labels, dtype=torch.int64), classes)
    return Data("numbered", images, images, images, (0.0,), (1.0,))


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_scores(batch: int) -> None:
    data = numbered(3, [0, 1, 1])
    model = Table([[2.0, 1.0], [3.0, 0.0], [0.0, 0.0]]).train()
    scores = evaluate(model, data.test, data, batch=batch)
    loss = (math.log1p(math.exp(-1)) + 3 + math.log1p(math.exp(-3)) + math.log(2)) / 3
    assert (scores.top1, scores.non_finite, scores.examples) == (1 / 3, 0, 3)
    assert scores.loss == pytest.approx(loss)
    assert model.modes == {False}
    assert model.training


def test_what_is_not_finite_is_wrong() -> None:
    data = numbered(3, [0, 1, 0])
    scores = evaluate(Table([[math.nan, 0.0], [-math.inf, 0.0], [1.0, 0.0]]), data.test, data)
    assert (scores.top1, scores.non_finite) == (1 / 3, 2)


def test_modes_are_put_back(digits: Data) -> None:
    frozen = nn.BatchNorm2d(1).eval()
    model = nn.Sequential(frozen, nn.Flatten(), nn.Linear(64, 10)).train()
    frozen.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, digits.held_out, digits)
    assert (model.training, frozen.training, model[2].training) == (True, False, True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_class_count_that_does_not_match(digits: Data) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    with pytest.raises(InvalidInput, match=r"gives \(20, 7\) for 20 images, and the data set has 10 classes"):
        evaluate(model, digits.held_out, digits)


def test_what_does_not_fit_is_one_sentence(digits: Data) -> None:
    with pytest.raises(InvalidInput, match=r"cannot take digits's images of \(1, 8, 8\)"):
        evaluate(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10)), digits.test, digits)
    with pytest.raises(InvalidInput, match="a batch has 1 example or more"):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), digits.test, digits, batch=0)


def test_nothing_to_evaluate() -> None:
    data = numbered(2, [0, 1])
    empty = Images(torch.empty(0, 1, 2, 2, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), 2)
    with pytest.raises(InvalidInput, match="nothing to evaluate"):
        evaluate(Table([[0.0, 1.0]] * 2), empty, data)


@pytest.mark.parametrize("name", ["cuda:77", "xpu:9", "tpu", "meta:3", ""])
def test_absent_devices(name: str) -> None:
    with pytest.raises(InvalidInput, match="device"):
        find_device(name)


def test_cpu_and_half_precision() -> None:
    assert find_device("cpu").type == "cpu"
    with pytest.raises(InvalidInput, match="fp16 is for CUDA"):
        autocast("fp16", torch.device("cpu"))
