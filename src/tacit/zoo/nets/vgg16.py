"""VGG-16, configuration D, for 224x224 images (Simonyan and Zisserman, ICLR 2015)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "VGG16"]


class VGG16(nn.Module):
    """(N, 3, side, side), side a multiple of 2^pools * `grid`, to logits (N, classes); names are torchvision's.

    `width` scales the channels; `grid` is the side of the image that the linear layers see, `hidden` their width. The
    last of five `pools` are left out for small images. With `norm` there is a batch norm before every activation.
    """

    def __init__(
        self,
        classes: int = 1000,
        width: float = 1.0,
        grid: int = 7,
        hidden: int = 4096,
        *,
        norm: bool = False,
        pools: int = 5,
        dropout: float = 0.5,
        pool: type[nn.MaxPool2d] | type[nn.AvgPool2d] = nn.MaxPool2d,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for stage, (channels, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
            outputs = int(width * channels)
            for _ in range(count):
                normed = [nn.BatchNorm2d(outputs)] if norm else []
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), *normed, nn.ReLU()]
                inputs = outputs
            layers += [pool(2)] if stage < pools else []
        self.features = nn.Sequential(*layers)
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(grid), nn.Flatten()
        dense: list[nn.Module] = []
        for width_in in (inputs * grid**2, hidden):
            normed = [nn.BatchNorm1d(hidden)] if norm else []
            dense += [nn.Linear(width_in, hidden), *normed, nn.ReLU(), nn.Dropout(dropout)]
        self.classifier = nn.Sequential(*dense, nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


NET = Net(
    published=Size(VGG16, ((1, 3, 224, 224),)),
    small=Size(partial(VGG16, classes=10, width=0.125, grid=1, hidden=32), ((1, 3, 32, 32),)),
)
