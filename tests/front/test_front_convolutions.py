"""Convolutions of every kind: transposed, over three axes, dilated, grouped."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tacit.front.clear import run_clear
from tacit.front.torch import from_torch

RNG = np.random.default_rng(6)


def sample(*shape: int) -> torch.Tensor:
    return torch.tensor(RNG.normal(size=shape).astype(np.float32))


X = sample(2, 4, 5, 6)
LAYERS: list[tuple[str, Any, torch.Tensor]] = [
    ("transposed", nn.ConvTranspose2d(4, 3, 3, 2, 1, 1), X),
    ("transposed to twice the size", nn.ConvTranspose2d(4, 3, 2, 2), X),
    ("transposed, gaps in output", nn.ConvTranspose2d(4, 2, 2, 3, bias=True), X),
    ("transposed, stride 1", nn.ConvTranspose2d(4, 2, 3, padding=1), X),
    ("transposed, groups", nn.ConvTranspose2d(4, 6, (4, 3), (2, 1), (1, 0), groups=2), X),
    ("transposed, dilated", nn.ConvTranspose2d(4, 2, 3, 2, 2, 1, dilation=(1, 2)), X),
    ("transposed 1d", nn.ConvTranspose1d(4, 2, 4, 2, 1), X[..., 0]),
    ("transposed 3d", nn.ConvTranspose3d(2, 3, (1, 3, 2), (1, 2, 2), bias=False), sample(1, 2, 2, 3, 3)),
    ("conv3d", nn.Conv3d(2, 4, 3, padding=1), sample(2, 2, 4, 5, 4)),
    ("conv3d, all options", nn.Conv3d(2, 4, (2, 3, 1), (2, 1, 2), (1, 2, 0), (2, 1, 1), 2), sample(1, 2, 5, 5, 4)),
    ("depthwise", nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 3, 1)), X),
    ("dilated", nn.Conv2d(4, 3, 3, dilation=2, padding=2), X),
    ("conv1d, groups", nn.Conv1d(4, 4, 3, groups=2, dilation=2), X[..., 0]),
]


@pytest.mark.parametrize(("layer", "x"), [f[1:] for f in LAYERS], ids=[f[0] for f in LAYERS])
def test_layers(layer: nn.Module, x: torch.Tensor, parity: Any) -> None:
    parity(lambda s, x: s.layer(x), x, layer=layer)


@pytest.mark.parametrize("opset", [13, 20])
def test_onnx(opset: int, parity: Any) -> None:
    """All at once, since an export takes its time."""

    def function(s: Any, *xs: torch.Tensor) -> list[torch.Tensor]:
        return [layer(x) for layer, x in zip(s.layers, xs, strict=True)]

    parity(function, *(x for _, _, x in LAYERS), layers=nn.ModuleList(layer for _, layer, _ in LAYERS), opsets=(opset,))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_transposed_convolutions_of_all_sizes(data: st.DataObject) -> None:
    kernel, stride, gap = (data.draw(st.integers(1, n)) for n in (5, 4, 3))
    padding = data.draw(st.integers(0, gap * (kernel - 1) + 2))
    more = data.draw(st.integers(0, max(stride, gap) - 1))
    size = data.draw(st.integers(1, 5))
    if (size - 1) * stride - 2 * padding + gap * (kernel - 1) + more + 1 < 1:
        return
    layer = nn.ConvTranspose1d(2, 3, kernel, stride, padding, more, dilation=gap).eval()
    x = sample(1, 2, size)
    graph = from_torch(layer, x)
    with torch.no_grad():
        want = layer.double()(x.double()).numpy()
    np.testing.assert_allclose(run_clear(graph, x.numpy())[0], want, atol=1e-5)


def test_a_transposed_convolution_multiplies_by_no_zeros() -> None:
    """Four by four with stride 2 is one convolution of two by two, whose weight holds every number once."""
    graph = from_torch(nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), X)
    assert [w.shape for w in graph.weights.values()] == [(12, 4, 2, 2)]
    assert Counter(node.op for node in graph.nodes)["conv"] == 1


def test_a_kernel_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Exception, match="cannot trace"):
        from_torch(nn.Conv3d(2, 4, 6), sample(1, 2, 4, 5, 4))
