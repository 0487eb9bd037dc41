"""Products of every shape: einsum, matrices with vectors, constants of any shape, slopes that were trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tacit.errors import Refused

RNG = np.random.default_rng(8)


def sample(*shape: int) -> torch.Tensor:
    return torch.tensor(RNG.normal(size=shape).astype(np.float32))


X = sample(2, 3, 4, 5)
E: Any = torch.einsum
SHAPES = {"v": (5,), "m": (5, 6), "w": (3, 5, 6), "u": (4, 4), "c": (3, 4, 5), "d": (4, 1), "h": (3, 1, 5)}
TRAINED = {name: nn.Parameter(sample(*shape)) for name, shape in {**SHAPES, "big": (2, 3, 4, 5)}.items()}

BOTH: list[tuple[str, Any]] = [
    ("scores", lambda s, x: E("bhqd,bhkd->bhqk", x, 2 * x)),
    ("gram", lambda s, x: E("bchw,bdhw->bcd", x, x + 1)),
    ("entries", lambda s, x: E("bchw,bchw->bchw", x, x + 1)),
    ("means", lambda s, x: E("bchw,bc->bhw", x, x.mean((2, 3)))),
    ("linear", lambda s, x: E("bchw,wd->bchd", x, s.m)),
    ("heads", lambda s, x: E("bhqd,hde->bhqe", x, s.w)),
    ("weights of channels", lambda s, x: E("bchw,chw->bchw", x, s.c)),
    ("sum with weights", lambda s, x: E("bchw,chw->bc", x, s.c)),
    ("constant first", lambda s, x: E("hk,bchw->bckw", s.u, x)),
    ("constant summed", lambda s, x: E("bchw,wd->bch", x, s.m)),
    ("implicit order", lambda s, x: E("bchw,wd", x, s.m)),
    ("dots", lambda s, x: (E("...w,wd->...d", x, s.m), E("...ij->...ji", x), E("...i->...", x))),
    ("one operand", lambda s, x: (E("bchw->wb", x), E("bchw->hcwb", x))),
    ("vectors", lambda s, x: (x @ s.v, x[0, 0] @ x[0, 0, 0], torch.dot(x[0, 0, 0], x[0, 0, 1]))),
    ("vector of constants", lambda s, x: (torch.mv(x[0, 0], s.v), s.v @ x.transpose(2, 3))),
    ("outer", lambda s, x: torch.outer(x[0, 0, 0], x[0, 1, 0])),
    ("matrices of constants", lambda s, x: (x @ s.w, s.u @ x, s.u[:2] @ x[0, 0])),
    ("baddbmm", lambda s, x: torch.baddbmm(x[0], x[0], x[0].transpose(1, 2) @ x[0], beta=0.5, alpha=2)),
    ("baddbmm with constants", lambda s, x: torch.baddbmm(s.c, x[0], s.w[..., :5])),
    ("entries of constants", lambda s, x: (x * s.c, x / s.big, x * s.d, s.h * x)),
    ("larger constants", lambda s, x: (x[:, :, :1] * s.d, x[:, :1] + s.c, s.big - x[:1, :1], x[0, 0] * s.c)),
    ("constant vectors", lambda s, x: (x[0, 0, 0] * s.v, x.mean() * s.v, x[:, 0, 0, 0] * s.v[:2])),
    ("trained slopes", lambda s, x: (s.each(x), s.all(x), F.prelu(x, s.v[:1]))),
]  # fmt: skip
PARTS: dict[str, Any] = {**TRAINED, "each": nn.PReLU(3), "all": nn.PReLU()}
PARTS["each"].weight.data = torch.tensor([0.25, -0.5, 1.5])


@pytest.mark.parametrize("function", [f[1] for f in BOTH], ids=[f[0] for f in BOTH])
def test_products(function: Any, parity: Any) -> None:
    parity(function, X, **PARTS)


@pytest.mark.parametrize("opset", [13, 20])
def test_onnx(opset: int, parity: Any) -> None:
    """All at once, since an export takes its time."""
    parity(lambda s, x: [function(s, x) for _, function in BOTH], X, opsets=(opset,), **PARTS)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda s, x: E("bchw,bchw,bchw->bc", x, x, x), "products of two"),
        (lambda s, x: E("bchh->bch", x[..., :4]), "Name every axis once"),
    ],
)
def test_refusals(function: Any, message: str, parity: Any) -> None:
    with pytest.raises(Refused, match=message):
        parity(function, X)
