"""Parts of arrays and their order: slices, splits, look-ups at fixed positions, flips, copies, windows, shuffles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tacit.errors import Refused

X = torch.tensor(np.random.default_rng(1).normal(size=(2, 4, 6, 5)).astype(np.float32))
AT = torch.tensor([2, 0, 3, -1])
GRID = torch.tensor(np.random.default_rng(2).integers(0, 4, (2, 3, 6, 5)))

BOTH: list[tuple[str, Any]] = [
    ("slice", lambda s, x: x[:, 1:3, ::2, -1]),
    ("slices", lambda s, x: (x[:1], x[..., 2:], x[:, -3:-1], x[:, :, None, 0])),
    ("narrow", lambda s, x: x.narrow(2, 1, 3)),
    ("chunk", lambda s, x: x.chunk(3, 2)),
    ("chunk unevenly", lambda s, x: x.chunk(2, 3)),
    ("split", lambda s, x: x.split(3, 1)),
    ("split sizes", lambda s, x: x.split([1, 2, 3], -2)[1:]),
    ("unbind", lambda s, x: x.unbind(1)[1] - x.unbind(1)[3]),
    ("stack", lambda s, x: torch.stack(x.unbind(-1)[:3], 1)),
    ("index", lambda s, x: (x[:, [0, 2]], x[:, s.at], x[..., s.at, :])),
    ("index of two axes", lambda s, x: x[:, :, s.at % 4, s.at % 5]),
    ("index of four axes", lambda s, x: x[:, s.at[:2, None], s.at[None, 1:] % 4]),
    ("index_select", lambda s, x: x.index_select(1, torch.tensor([3, 1, 1]))),
    ("gather", lambda s, x: torch.gather(x, 1, s.grid)),
    ("flip", lambda s, x: x.flip(1, -1)),
    ("roll", lambda s, x: x.roll((1, -2), (2, 3))),
    ("repeat", lambda s, x: x.repeat(1, 2, 1, 3)),
    ("repeat_interleave", lambda s, x: x.repeat_interleave(2, 1)),
    ("unfold", lambda s, x: x.unfold(2, 3, 2)),
    ("swin", lambda s, x: x.roll(-1, 2).view(2, 4, 3, 2, 5).permute(0, 1, 2, 4, 3)[:, :, 1]),
    ("shuffle", lambda s, x: x.view(2, 2, 2, 6, 5).transpose(1, 2).reshape(2, 4, 6, 5)),
    ("constants before and after", lambda s, x: torch.cat([s.grid.float(), x, s.grid.float()[:, :1]], 1)),
    ("a constant between", lambda s, x: torch.cat([x, s.grid.float()[:1].expand(2, -1, -1, -1), x[:, :2]], 1)),
    ("zeros before", lambda s, x: torch.cat([x.new_zeros(2, 4, 1, 5), x], 2)),
    ("focus", lambda s, x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2]], 1)),
]


@pytest.mark.parametrize("function", [f[1] for f in BOTH], ids=[f[0] for f in BOTH])
def test_parts(function: Any, parity: Any) -> None:
    parity(function, X, at=AT, grid=GRID)


@pytest.mark.parametrize("opset", [13, 20])
def test_onnx(opset: int, parity: Any) -> None:
    """All at once, since an export takes its time."""
    parity(lambda s, x: [function(s, x) for _, function in BOTH], X, at=AT, grid=GRID, opsets=(opset,))


ALONE: list[tuple[str, Any]] = [  # what torch's exporter to ONNX writes with loops or not at all
    ("roll all", lambda s, x: x.roll(7)),
    ("tile", lambda s, x: x.tile(2, 1)),
    ("diagonal", lambda s, x: (x.diagonal(1, 2, 3), x.diagonal(-2, 3, 1), x.diagonal(0, -1, -2))),
    ("repeat_interleave of all", lambda s, x: x.repeat_interleave(2)),
    ("constants of a shape", lambda s, x: x + torch.ones_like(x) + x.new_full((5,), 2.0)),
]


@pytest.mark.parametrize("function", [f[1] for f in ALONE], ids=[f[0] for f in ALONE])
def test_parts_of_torch_alone(function: Any, parity: Any) -> None:
    parity(function, X)


REFUSED: list[tuple[str, Any]] = [
    ("whole numbers that depend on the data", lambda s, x: x[:, x[0, :, 0, 0].argmax(0, True)]),
    ("trained values", lambda s, x: x[:, (s.trained > 0).long()]),
    ("side by side", lambda s, x: x[:, s.at, :, s.at]),
]


@pytest.mark.parametrize("function", [f[1] for f in REFUSED], ids=[f[0] for f in REFUSED])
def test_refusals(function: Any, parity: Any) -> None:
    with pytest.raises(Refused):
        parity(function, X, at=AT, trained=torch.nn.Parameter(torch.ones(4)))
