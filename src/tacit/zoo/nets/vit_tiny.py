"""ViT-Ti/16 for 224x224 images, a small vision transformer (Dosovitskiy et al., ICLR 2021; in this size DeiT's, Touvron
et al., ICML 2021).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "Attention", "Block", "PatchEmbedding", "Perceptron", "VisionTransformer"]


class PatchEmbedding(nn.Module):
    """(N, 3, side, side) to tokens (N, (side / patch)^2, width)."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens."""
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Attention of all tokens to all, with `heads`: (N, T, width) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The mixed tokens."""
        count, tokens, width = x.shape
        head = width // self.heads
        q, k, v = self.qkv(x).reshape(count, tokens, 3, self.heads, head).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * head**-0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(count, tokens, width))


class Perceptron(nn.Module):
    """Two linear layers with GELU between: (N, T, width) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The new tokens."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Attention and a perceptron, each after a norm and beside a shortcut: (N, T, width) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        """The new tokens."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """(N, 3, side, side) to logits (N, classes); names are those of the published DeiT-Ti."""

    def __init__(
        self, side: int = 224, patch: int = 16, width: int = 192, depth: int = 12, heads: int = 3, classes: int = 1000
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(patch, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


NET = Net(
    published=Size(VisionTransformer, ((1, 3, 224, 224),)),
    small=Size(partial(VisionTransformer, 8, 4, 8, 2, 2, 10), ((1, 3, 8, 8),)),
)
