"""SqueezeNet 1.0 for 224x224 images: AlexNet's accuracy with 50 times fewer parameters (Iandola et al., 2016)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "Fire", "SqueezeNet"]


class Fire(nn.Module):
    """A narrow 1x1 convolution, then 1x1 and 3x3 ones side by side: (N, inputs, H, W) to (N, 2 expanded, H, W)."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze, self.squeeze_activation = nn.Conv2d(inputs, squeezed, 1), nn.ReLU()
        self.expand1x1, self.expand1x1_activation = nn.Conv2d(squeezed, expanded, 1), nn.ReLU()
        self.expand3x3, self.expand3x3_activation = nn.Conv2d(squeezed, expanded, 3, padding=1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        x = self.squeeze_activation(self.squeeze(x))
        small, large = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
        return torch.cat([small, large], 1)


class SqueezeNet(nn.Module):
    """(N, 3, side, side), side 33 or more, to logits (N, classes); names are torchvision's; `width` scales channels."""

    def __init__(self, classes: int = 1000, width: float = 1.0) -> None:
        super().__init__()
        first = int(width * 96)
        layers: list[nn.Module] = [nn.Conv2d(3, first, 7, 2), nn.ReLU(), self._pool()]
        inputs = first
        for squeezed, expanded in ((16, 64), (16, 64), (32, 128), (0, 0), (32, 128), (48, 192), (48, 192), (64, 256)):
            if not squeezed:
                layers.append(self._pool())
                continue
            layers.append(Fire(inputs, int(width * squeezed), int(width * expanded)))
            inputs = 2 * int(width * expanded)
        layers += [self._pool(), Fire(inputs, int(width * 64), int(width * 256))]
        self.features = nn.Sequential(*layers)
        final = nn.Conv2d(2 * int(width * 256), classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(), final, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.flatten = nn.Flatten()

    @staticmethod
    def _pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.flatten(self.classifier(self.features(x)))


NET = Net(
    published=Size(SqueezeNet, ((1, 3, 224, 224),)),
    small=Size(partial(SqueezeNet, classes=10, width=0.25), ((1, 3, 40, 40),)),
)
