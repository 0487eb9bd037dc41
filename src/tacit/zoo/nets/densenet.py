"""DenseNet-121 for 224x224 images: every layer sees all before it (Huang, Liu, van der Maaten and Weinberger, CVPR
2017).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "DenseBlock", "DenseLayer", "DenseNet"]


class DenseLayer(nn.Module):
    """(N, inputs, H, W) to the `growth` channels that the layer adds; norms come before the convolutions."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.relu1 = nn.BatchNorm2d(inputs), nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(4 * growth), nn.ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The new channels."""
        return self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))


class DenseBlock(nn.ModuleDict):
    """(N, inputs, H, W) to (N, inputs + count * growth, H, W)."""

    def __init__(self, inputs: int, growth: int, count: int) -> None:
        super().__init__()
        for number in range(count):
            self[f"denselayer{number + 1}"] = DenseLayer(inputs + number * growth, growth)

    def forward(self, x: Tensor) -> Tensor:
        """The block's input and all that its layers add."""
        for layer in self.values():
            x = torch.cat([x, layer(x)], 1)
        return x


class DenseNet(nn.Module):
    """(N, 3, side, side), side 32 or more, to logits (N, classes); names are torchvision's."""

    def __init__(self, counts: tuple[int, ...] = (6, 12, 24, 16), growth: int = 32, classes: int = 1000) -> None:
        super().__init__()
        channels = 2 * growth
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv0"] = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        layers["norm0"], layers["relu0"] = nn.BatchNorm2d(channels), nn.ReLU()
        layers["pool0"] = nn.MaxPool2d(3, 2, 1)
        for number, count in enumerate(counts, 1):
            layers[f"denseblock{number}"] = DenseBlock(channels, growth, count)
            channels += count * growth
            if number < len(counts):
                layers[f"transition{number}"] = self._transition(channels)
                channels //= 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(layers)
        self.relu, self.avgpool, self.flatten = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.classifier = nn.Linear(channels, classes)

    @staticmethod
    def _transition(channels: int) -> nn.Sequential:
        conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
        parts = {"norm": nn.BatchNorm2d(channels), "relu": nn.ReLU(), "conv": conv, "pool": nn.AvgPool2d(2)}
        return nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.classifier(self.flatten(self.avgpool(self.relu(self.features(x)))))


NET = Net(
    published=Size(DenseNet, ((1, 3, 224, 224),)),
    small=Size(partial(DenseNet, (2, 2, 2), growth=4, classes=10), ((1, 3, 32, 32),)),
)
