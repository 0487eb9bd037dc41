"""AlexNet for 224x224 images, its form of one tower (Krizhevsky, 2014; Krizhevsky, Sutskever, Hinton, NIPS 2012)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "AlexNet"]


class AlexNet(nn.Module):
    """(N, 3, side, side), side 63 or more, to logits (N, classes); names are torchvision's.

    `width` scales the channels; `grid` is the side of the image that the linear layers see, `hidden` their width.
    """

    def __init__(self, classes: int = 1000, width: float = 1.0, grid: int = 6, hidden: int = 4096) -> None:
        super().__init__()
        first, second, third, fourth = (int(width * n) for n in (64, 192, 384, 256))
        self.features = nn.Sequential(
            *(nn.Conv2d(3, first, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(first, second, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(second, third, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(third, fourth, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(fourth, fourth, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(grid), nn.Flatten()
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(fourth * grid**2, hidden), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


NET = Net(
    published=Size(AlexNet, ((1, 3, 224, 224),)),
    small=Size(partial(AlexNet, classes=10, width=0.125, grid=1, hidden=32), ((1, 3, 63, 63),)),
)
