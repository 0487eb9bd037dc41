"""MiniVGGNet for CIFAR-10: four convolutions in VGG's manner, with batch norm (Rosebrock, "Deep Learning for Computer
Vision with Python", 2017).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "MiniVGG"]


class MiniVGG(nn.Module):
    """(N, 3, side, side), side a multiple of 4, to logits (N, 10); norms come after the activations."""

    def __init__(self, width: int = 32, hidden: int = 512, side: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (width, 2 * width):
            for _ in range(2):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(outputs)]
                inputs = outputs
            layers += [nn.MaxPool2d(2), nn.Dropout(0.25)]
        self.features = nn.Sequential(*layers)
        flat = 2 * width * (side // 4) ** 2
        self.classifier = nn.Sequential(
            *(nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.BatchNorm1d(hidden)),
            *(nn.Dropout(0.5), nn.Linear(hidden, 10)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.classifier(self.features(x))


NET = Net(
    published=Size(MiniVGG, ((1, 3, 32, 32),)),
    small=Size(partial(MiniVGG, width=8, hidden=32, side=8), ((1, 3, 8, 8),)),
)
