"""Nets of imported operations end to end: what torch computes, within what fixed point allows, privately."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tacit.front.compile import compile_model
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate
from tacit.testing.protocols import check_bill


class Squeeze(nn.Module):
    """Squeeze and excitation: every channel times a number that all of it decides."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(maps, maps // 2, 1), nn.Conv2d(maps // 2, maps, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Images(nn.Module):
    """Two images in, two out: an encoder, a decoder of three ways to enlarge, residuals, masks and uneven pools."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.slope = nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), nn.PReLU(4)
        self.squeeze, self.up = Squeeze(4), nn.ConvTranspose2d(4, 4, 2, 2)
        self.last, self.deep = nn.Conv2d(16, 4, 1), nn.Conv3d(1, 2, (2, 3, 3))
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, 4 * 5).reshape(4, 5))
        self.register_buffer("mask", torch.ones(6, 6, dtype=torch.bool).tril(1))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = self.squeeze(self.slope(self.first(x)))
        low = F.avg_pool2d(z, 2)
        ups = [self.up(low), F.interpolate(low, size=6), F.interpolate(low, scale_factor=2, mode="bilinear")]
        z = self.last(torch.cat([z, *ups], 1)) + z
        z = torch.where(self.mask, z, 0.25) * y
        pooled = F.adaptive_avg_pool2d(z, (4, 5)) * self.gain
        return torch.einsum("bchw,bdhw->bcd", pooled, pooled), self.deep(z[:, None, ::2]).flatten(1).roll(1, 1)


@pytest.mark.parametrize("bits", [13, 16])
def test_images(bits: int) -> None:
    torch.manual_seed(2)
    model = Images().eval()
    xs = (torch.randn(1, 2, 6, 6), torch.randn(1, 1, 1, 6))
    plan = compile_model(model, xs, policy=Policy(input_bits=bits))
    result = simulate(plan, *(x.numpy() for x in xs))
    check_bill(plan, result)
    with torch.no_grad():
        expected = model(*xs)
    for got, want in zip(result.outputs, expected, strict=True):
        error = np.sqrt(np.mean((got - want.numpy()) ** 2)) / want.abs().max().item()
        assert error < 2.0 ** (3 - bits)


class Heads(nn.Module):
    """A decoder's block with a causal mask that is filled by minus infinity, as it is written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.register_buffer("mask", torch.ones(5, 5, dtype=torch.bool).tril())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).view(-1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1) * 0.5).masked_fill(~self.mask, float("-inf"))
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)) + x


def test_a_masked_attention() -> None:
    torch.manual_seed(3)
    model, x = Heads().eval(), torch.randn(1, 5, 8)
    plan = compile_model(model, x, policy=Policy(input_bits=15))
    got = simulate(plan, x.numpy()).outputs[0]
    with torch.no_grad():
        want = model(x).numpy()
    assert np.sqrt(np.mean((got - want) ** 2)) / np.abs(want).max() < 2e-3
    other = x.clone()
    other[:, 3:] += 0.5
    later = simulate(plan, other.numpy()).outputs[0]
    assert np.abs(later[:, :3] - got[:, :3]).max() < 5e-3, "a position saw what comes after it"
