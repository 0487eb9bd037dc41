"""Blocks of published transformers and recurrent nets, written from their papers: imported by every way there is,
and run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def partition(x: Tensor, size: int) -> Tensor:
    """Windows of an image [B, H, W, C] as [B n, size size, C]."""
    batch, high, wide, maps = x.shape
    x = x.view(batch, high // size, size, wide // size, size, maps)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size * size, maps)


class Swin(nn.Module):
    """Attention within windows, then within shifted ones (Liu and others, ICCV 2021)."""

    def __init__(self, width: int = 8, side: int = 8, window: int = 4, heads: int = 2) -> None:
        super().__init__()
        self.side, self.window, self.heads = side, window, heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads) * 0.2)
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        far = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0) + window - 1
        self.register_buffer("places", far[..., 0] * (2 * window - 1) + far[..., 1])

    def mask(self, shift: int) -> Tensor:
        """What windows may not see of each other once the image was rolled."""
        image, count = torch.zeros((1, self.side, self.side, 1)), 0
        parts = (slice(0, -self.window), slice(-self.window, -shift), slice(-shift, None))
        for rows in parts:
            for columns in parts:
                image[:, rows, columns, :] = count
                count += 1
        windows = partition(image, self.window).squeeze(-1)
        apart = windows.unsqueeze(1) - windows.unsqueeze(2)
        return apart.masked_fill(apart != 0, -100.0).masked_fill(apart == 0, 0.0)

    def attend(self, x: Tensor, shift: int) -> Tensor:
        count, length, width = x.shape
        qkv = self.qkv(x).reshape(count, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)
        bias = self.table[self.places.view(-1)].view(length, length, -1).permute(2, 0, 1).contiguous()
        scores = scores + bias.unsqueeze(0)
        if shift:
            mask = self.mask(shift)
            scores = scores.view(-1, mask.shape[0], self.heads, length, length) + mask.unsqueeze(1).unsqueeze(0)
            scores = scores.view(-1, self.heads, length, length)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(count, length, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, width = x.shape[0], x.shape[-1]
        for shift in (0, self.window // 2):
            y = self.norms[0](x).view(batch, self.side, self.side, width)
            y = torch.roll(y, shifts=(-shift, -shift), dims=(1, 2)) if shift else y
            y = self.attend(partition(y, self.window), shift)
            n = self.side // self.window
            y = y.view(batch, n, n, self.window, self.window, -1).permute(0, 1, 3, 2, 4, 5).contiguous()
            y = y.view(batch, self.side, self.side, width)
            y = torch.roll(y, shifts=(shift, shift), dims=(1, 2)) if shift else y
            x = x + y.view(batch, -1, width)
            x = x + self.mlp(self.norms[1](x))
        return x


class DeiT(nn.Module):
    """Patches, a class and a distillation token, and torch's own encoder layer (Touvron and others, ICML 2021)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.tokens = nn.Parameter(torch.randn(2, 1, width))
        self.places = nn.Parameter(torch.randn(1, 6, width) * 0.1)
        self.block = nn.TransformerEncoderLayer(width, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
        self.norm, self.head, self.other = nn.LayerNorm(width), nn.Linear(width, 3), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        first, second = (token.expand(x.shape[0], -1, -1) for token in self.tokens.split(1))
        x = self.norm(self.block(torch.cat((first, second, x), dim=1) + self.places))
        return (self.head(x[:, 0]) + self.other(x[:, 1])) / 2


class Mixer(nn.Module):
    """MLPs over positions and over channels (Tolstikhin and others, NeurIPS 2021)."""

    def __init__(self, count: int = 6, width: int = 8) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.places = nn.Sequential(nn.Linear(count, 10), nn.GELU(), nn.Linear(10, count))
        self.maps = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return (x + self.maps(self.norms[1](x))).mean(dim=1)


class Bert(nn.Module):
    """A layer with the mask of a padded batch as its authors make it, and its first word (Devlin and others, 2019)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(12, width), nn.Embedding(6, width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.one, self.two, self.start = (nn.LayerNorm(width, eps=1e-12) for _ in range(3))
        self.wide, self.narrow, self.pool = nn.Linear(width, 16), nn.Linear(16, width), nn.Linear(width, width)
        self.register_buffer("seen", torch.tensor([[1, 1, 1, 1, 0, 0]]))

    def forward(self, words: Tensor) -> Tensor:
        x = self.start(self.embed(words) + self.places(torch.arange(words.shape[1]).expand((1, -1))))
        hidden = (1.0 - self.seen[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min
        q, k, v = (m(x).view(x.shape[0], -1, 2, 4).transpose(1, 2) for m in (self.q, self.k, self.v))
        chances = nn.functional.softmax(torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(4) + hidden, dim=-1)
        mixed = torch.matmul(chances, v).permute(0, 2, 1, 3).contiguous().view(x.shape)
        x = self.one(x + self.out(mixed))
        x = self.two(x + self.narrow(F.gelu(self.wide(x))))
        return torch.tanh(self.pool(x[:, 0]))


class Gpt2(nn.Module):
    """A block whose causal mask is a triangle of a buffer (Radford and others, 2019)."""

    def __init__(self, width: int = 8, longest: int = 16) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.one, self.two, self.last = (nn.LayerNorm(width) for _ in range(3))
        self.head = nn.Linear(width, 12, bias=False)
        triangle = torch.tril(torch.ones((longest, longest), dtype=torch.bool))
        self.register_buffer("bias", triangle.view(1, 1, longest, longest), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.one(x)).split(width, dim=2)
        q, k, v = (part.view(batch, length, 2, -1).transpose(1, 2) for part in (q, k, v))
        scores = q @ k.transpose(-1, -2) / torch.full([], v.size(-1) ** 0.5)
        least = torch.full([], torch.finfo(scores.dtype).min, dtype=scores.dtype)
        scores = torch.where(self.bias[:, :, :length, :length], scores, least)
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width))
        x = x + self.narrow(F.gelu(self.wide(self.two(x)), approximate="tanh"))
        return self.head(self.last(x)[:, -1])


class Rms(nn.Module):
    """A norm that leaves the mean (Zhang and Sennrich, NeurIPS 2019), as it is mostly written."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Llama(nn.Module):
    """RMS norms, rotated positions, shared keys, SwiGLU (Touvron and others, 2023; Su and others, 2021)."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.q, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, width // heads, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(width, 16, bias=False) for _ in range(2))
        self.down, self.heads = nn.Linear(16, width, bias=False), heads
        self.one, self.two = Rms(width), Rms(width)

    def rotated(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        speeds = 1.0 / 10000.0 ** (torch.arange(0, size, 2).float() / size)
        angles = torch.outer(torch.arange(x.shape[-2]).float(), speeds)
        angles = torch.cat((angles, angles), dim=-1)
        first, second = x[..., : size // 2], x[..., size // 2 :]
        return x * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        y = self.one(x)
        q, k, v = (m(y).view(batch, length, -1, width // self.heads).transpose(1, 2) for m in (self.q, self.k, self.v))
        q, k = self.rotated(q), self.rotated(k)
        k, v = (part.repeat_interleave(self.heads, dim=1) for part in (k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        y = self.two(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class T5(nn.Module):
    """An encoder's layer and a decoder's that reads it: relative positions in buckets, no scale, gated GELU."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.bias = nn.Embedding(8, 2)
        self.mine = nn.ModuleList([nn.Linear(width, width, bias=False) for _ in range(4)])
        self.other = nn.ModuleList([nn.Linear(width, width, bias=False) for _ in range(4)])
        self.norms = nn.ModuleList([Rms(width) for _ in range(3)])
        self.gate, self.up, self.down = nn.Linear(width, 12), nn.Linear(width, 12), nn.Linear(12, width)

    def bucketed(self, rows: int, columns: int) -> Tensor:
        far = torch.arange(rows)[:, None] - torch.arange(columns)[None, :]
        far = torch.max(far, torch.zeros_like(far))
        large = 4 + (torch.log(far.float().clamp(min=1) / 4) / math.log(16 / 4) * 4).to(torch.long)
        return torch.where(far < 4, far, torch.min(large, torch.full_like(large, 7)))

    def attend(self, parts: nn.ModuleList, x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
        q, k, v = (m(z).view(1, -1, 2, 4).transpose(1, 2) for m, z in zip(parts[:3], (x, y, y), strict=True))
        scores = torch.matmul(q, k.transpose(3, 2))
        scores = scores if bias is None else scores + bias
        return parts[3](torch.matmul(F.softmax(scores, dim=-1), v).transpose(1, 2).reshape(1, -1, 8))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        length = x.shape[1]
        causal = torch.triu(torch.full((length, length), float("-inf")), diagonal=1)
        bias = self.bias(self.bucketed(length, length)).permute(2, 0, 1).unsqueeze(0) + causal
        y = self.norms[0](x)
        x = x + self.attend(self.mine, y, y, bias)
        x = x + self.attend(self.other, self.norms[1](x), seen, None)
        y = self.norms[2](x)
        return x + self.down(F.gelu(self.gate(y), approximate="tanh") * self.up(y))


class Recurrent(nn.Module):
    """A recurrent layer whose last states of both directions, or whose maxima over time, are classified."""

    def __init__(self, layer: nn.Module, inputs: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(inputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, last = self.layer(x)
        if isinstance(last, tuple):
            return self.head(torch.cat((last[0][-2], last[0][-1]), dim=1))
        return self.head(states.max(dim=1)[0])


ROWS, WORDS = (1, 5, 8), ((1, 6),)
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[tuple[int, ...], ...]]] = {
    "Swin": (Swin, ((1, 64, 8),)),
    "DeiT": (DeiT, ((1, 3, 8, 8),)),
    "MLP-Mixer": (Mixer, ((1, 6, 8),)),
    "BERT": (Bert, WORDS),
    "GPT-2": (Gpt2, (ROWS,)),
    "LLaMA": (Llama, (ROWS,)),
    "T5": (T5, (ROWS, (1, 7, 8))),
    "bi-LSTM": (lambda: Recurrent(nn.LSTM(8, 4, batch_first=True, bidirectional=True), 8), (ROWS,)),
    "GRU": (lambda: Recurrent(nn.GRU(8, 5, num_layers=2, batch_first=True), 5), (ROWS,)),
}


def inputs(name: str) -> tuple[Callable[[], nn.Module], list[Tensor]]:
    build, shapes = NETS[name]
    source = torch.Generator().manual_seed(4)
    if name == "BERT":
        return build, [torch.randint(0, 12, shapes[0], generator=source)]
    return build, [torch.randn(*shape, generator=source) for shape in shapes]


@pytest.mark.parametrize("name", NETS)
def test_what_torch_exports(name: str, imported: Any) -> None:
    build, xs = inputs(name)
    imported(build, *xs)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_by_every_other_way_and_privately(name: str, everywhere: Any) -> None:
    build, xs = inputs(name)
    everywhere(build, *xs)
