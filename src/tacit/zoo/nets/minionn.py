"""MiniONN's net for CIFAR-10: seven convolutions, average pools (Liu, Juuti, Lu and Asokan, CCS 2017, figure 13)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "MiniONN"]


class MiniONN(nn.Module):
    """(N, 3, side, side) to logits (N, 10); `width` channels in the first five layers."""

    def __init__(self, width: int = 64, side: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        plan = ((width, 3, 0), (width, 3, 2), (width, 3, 0), (width, 3, 2), (width, 3, 0), (width, 1, 0), (16, 1, 0))
        for outputs, size, pool in plan:
            layers += [nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.ReLU()]
            layers += [nn.AvgPool2d(pool)] if pool else []
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(16 * (side // 4) ** 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.classifier(self.flatten(self.features(x)))


NET = Net(
    published=Size(MiniONN, ((1, 3, 32, 32),)),
    small=Size(partial(MiniONN, width=8, side=8), ((1, 3, 8, 8),)),
)
