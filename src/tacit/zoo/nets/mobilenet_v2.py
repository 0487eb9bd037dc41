"""MobileNetV2 for 224x224 images: inverted residuals, ReLU6 (Sandler, Howard, Zhu, Zhmoginov and Chen, CVPR 2018)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "InvertedResidual", "MobileNetV2"]

#: The paper's table 2.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _normed(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Wide, depthwise, narrow: (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers: list[nn.Module] = [_normed(inputs, wide, 1)] if expansion > 1 else []
        layers += [_normed(wide, wide, 3, stride, wide), nn.Conv2d(wide, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """(N, 3, side, side) to logits (N, classes); `width` scales channels; `stages` as the paper's table 2 has them:
    expansion, channels, blocks and first stride. Names are torchvision's.
    """

    def __init__(
        self, classes: int = 1000, width: float = 1.0, stages: tuple[tuple[int, int, int, int], ...] = _STAGES
    ) -> None:
        super().__init__()
        inputs, last = int(width * 32), int(width * 1280)
        layers: list[nn.Module] = [_normed(3, inputs, 3, 2)]
        for expansion, channels, count, stride in stages:
            for number in range(count):
                outputs = int(width * channels)
                layers.append(InvertedResidual(inputs, outputs, 1 if number else stride, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers, _normed(inputs, last, 1))
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


NET = Net(
    published=Size(MobileNetV2, ((1, 3, 224, 224),)),
    small=Size(partial(MobileNetV2, classes=10, width=0.125, stages=((1, 16, 1, 1), (6, 24, 2, 2))), ((1, 3, 32, 32),)),
)
