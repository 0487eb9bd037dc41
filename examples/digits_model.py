"""The two digits networks: a residual net with four polynomial activations, made to be served privately, and an
ordinary CNN of ReLU and max-pool, served as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["INPUT_SHAPE", "NETS", "DigitsNet", "Quartic", "ReluNet", "ResidualBlock", "build_model", "preprocess"]

INPUT_SHAPE = (1, 8, 8)
"""Channels, rows and columns of one image."""


class Quartic(nn.Module):
    """PILLAR's public quartic near ReLU (Diaa et al., USENIX Security 2024, coefficients of 10 bits); any shape.

    It is meant for |x| <= 8: beyond, the negative leading coefficient takes over and the value falls without bound.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the quartic element by element."""
        return (322 + 512 * x + 160 * x**2 - 3 * x**4) / 1024


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: [N, channels, H, W] to [N, out, H, W], two activations.

    The batch norms stand right behind convolutions, so that every one of them folds away at compile time. The shortcut
    is a 1x1 convolution, since the number of channels changes.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.act1 = Quartic()
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Conv2d(channels, out, 1, bias=False)
        self.act2 = Quartic()

    def forward(self, x: Tensor) -> Tensor:
        """Add what two convolutions make of `x` to the shortcut, then activate."""
        inner = self.act1(self.norm1(self.conv1(x)))
        return self.act2(self.norm2(self.conv2(inner)) + self.shortcut(x))


class DigitsNet(nn.Module):
    """Logits [N, 10] of images [N, 1, 8, 8] in [0, 1]: two residual blocks, averages, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = ResidualBlock(1, 16)
        self.pool = nn.AvgPool2d(2)
        self.block2 = ResidualBlock(16, 32)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of images."""
        features = self.block2(self.pool(self.block1(x)))
        return self.head(self.mean(features).flatten(1))


class ReluNet(nn.Module):
    """Logits [N, 10] of images [N, 1, 8, 8] in [0, 1]: what anybody would write for small images."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of images."""
        return self.head(self.features(x).flatten(1))


NETS: dict[str, type[nn.Module]] = {"digits": DigitsNet, "relu": ReluNet}
"""The networks by the names of their files in the package."""


def preprocess(images: Tensor) -> Tensor:
    """Turn pixels 0..16, integers of shape [N, 8, 8], into the network's input: float32 [N, 1, 8, 8] in [0, 1]."""
    return images.to(torch.float32).unsqueeze(1) / 16


def build_model(weights_path: str | Path, net: str = "digits") -> nn.Module:
    """Load a network from a safetensors file, ready for inference; a wrong or partial file raises an error."""
    model = NETS[net]()
    model.load_state_dict(load_file(str(weights_path)))
    return model.eval()
