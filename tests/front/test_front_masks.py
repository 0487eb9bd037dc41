"""Selections by constant and by secret masks: where, masked_fill, triangles, and masks that are added."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from tacit.errors import Refused
from tacit.front.clear import run_clear
from tacit.front.torch import from_torch
from tacit.ir.positions import positions, write_positions

RNG = np.random.default_rng(4)
X = torch.tensor(RNG.normal(size=(2, 3, 4, 4)).astype(np.float32))
MASK = torch.tensor(RNG.integers(0, 2, (4, 4)).astype(bool))
BUFFER = torch.tensor(RNG.normal(size=(3, 4, 4)).astype(np.float32))

BOTH: list[tuple[str, Any]] = [
    ("where zero", lambda s, x: torch.where(s.mask, x, 0.0)),
    ("where number", lambda s, x: torch.where(s.mask, torch.tensor(2.5), x)),
    ("where both", lambda s, x: torch.where(s.mask[:1], x, 2 * x)),
    ("where enlarges", lambda s, x: torch.where(s.mask, x[:, :, :1], x[:, :, :, :1])),
    ("where array", lambda s, x: torch.where(s.mask, x, s.buffer)),
    ("masked_fill", lambda s, x: x.masked_fill(s.mask == 0, 0.5)),
    ("secret condition", lambda s, x: torch.where(x > 0.25, x, 2 * x)),
    ("secret condition and number", lambda s, x: (torch.where(x > 0, x, 0.5), torch.where(x > 0, -1.5, x))),
    ("secret condition and array", lambda s, x: torch.where(x <= 0, x, s.buffer)),
    ("numbers by a condition", lambda s, x: torch.where(x > 0, 3.0, -1.0)),
    ("conditions", lambda s, x: torch.where((x > -1) & ~(x > 0.5) | (x > 1), x, 0.0)),
    ("condition and mask", lambda s, x: torch.where((x > 0) & s.mask, x, 1.0)),
    ("condition or mask", lambda s, x: torch.where((x > 0) | s.mask, x, 1.0)),
    ("triangles", lambda s, x: (x.tril(), x.triu(1))),
]


@pytest.mark.parametrize("function", [f[1] for f in BOTH], ids=[f[0] for f in BOTH])
def test_selections(function: Any, parity: Any) -> None:
    parity(function, X, mask=MASK, buffer=BUFFER)


@pytest.mark.parametrize("opset", [14, 20])
def test_onnx(opset: int, parity: Any) -> None:
    """All at once, since an export takes its time."""
    parity(lambda s, x: [function(s, x) for _, function in BOTH], X, mask=MASK, buffer=BUFFER, opsets=(opset,))


@pytest.mark.parametrize(
    "function",
    [
        lambda s, x: x.masked_fill(~s.mask, float("-inf")).amax(-1),
        lambda s, x: x.masked_fill(~s.mask, -1e9).amax(-1),
        lambda s, x: (x + torch.where(s.mask, 0.25, float("-inf"))).amax(-1),
        lambda s, x: (x + s.minus).amax(-1),
    ],
)
def test_hugely_negative_fills_exclude(function: Any, parity: Any) -> None:
    mask = MASK | torch.eye(4, dtype=torch.bool)
    minus = torch.zeros(4, 4).masked_fill(~mask, float("-inf"))
    graph = parity(function, X, mask=mask, minus=minus)
    assert Counter(node.op for node in graph.nodes)["exclude"] == 1


def test_excluded_entries_lie_below_all_others() -> None:
    mask = torch.eye(4, dtype=torch.bool)
    model = torch.nn.Module()
    model.forward = lambda x: x.masked_fill(mask, float("-inf"))
    graph = from_torch(model, X)
    (out,) = run_clear(graph, X.numpy())
    kept = ~mask.numpy()
    np.testing.assert_array_equal(out[..., kept], X.double().numpy()[..., kept])
    assert out[..., ~kept].max() <= X.min() - 16


def test_a_mask_of_trained_values_is_refused(parity: Any) -> None:
    with pytest.raises(Refused, match="a mask that depends on trained values"):
        parity(lambda s, x: torch.where(s.weight > 0, x, 0.0), X, weight=torch.nn.Parameter(BUFFER))


def test_a_huge_number_chosen_in_secret_is_refused(parity: Any) -> None:
    with pytest.raises(Refused, match="a huge number"):
        parity(lambda s, x: x.masked_fill(x > 0, -1e9), X)


@pytest.mark.parametrize("sizes", [(), (1,), (8,), (3, 5), (2, 1, 7)])
def test_sets_of_positions_are_read_as_written(sizes: tuple[int, ...]) -> None:
    mask = RNG.integers(0, 2, sizes).astype(bool)
    assert np.array_equal(positions(write_positions(mask)), mask)
