"""MobileNet for 224x224 images: depthwise separable convolutions (Howard et al., "MobileNets", 2017)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "MobileNetV1"]

#: Channels and stride of each separable convolution: the paper's table 1.
_STAGES = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def _normed(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


class MobileNetV1(nn.Module):
    """(N, 3, side, side) to logits (N, classes); `width` is the paper's multiplier of channels, `stages` its table 1:
    channels and stride.
    """

    def __init__(self, classes: int = 1000, width: float = 1.0, stages: tuple[tuple[int, int], ...] = _STAGES) -> None:
        super().__init__()
        inputs = int(width * 32)
        blocks = [nn.Sequential(*_normed(3, inputs, 3, 2))]
        for channels, stride in stages:
            outputs = int(width * channels)
            blocks.append(nn.Sequential(*_normed(inputs, inputs, 3, stride, inputs), *_normed(inputs, outputs, 1)))
            inputs = outputs
        self.features = nn.Sequential(*blocks)
        self.avgpool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.fc(self.flatten(self.avgpool(self.features(x))))


NET = Net(
    published=Size(MobileNetV1, ((1, 3, 224, 224),)),
    small=Size(partial(MobileNetV1, classes=10, width=0.125, stages=((64, 1), (128, 2), (128, 1))), ((1, 3, 32, 32),)),
)
