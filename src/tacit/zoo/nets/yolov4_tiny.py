"""YOLOv4-tiny for 416x416 images: a detector of 80 classes at two scales (Wang, Bochkovskiy and Liao, CVPR 2021)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "CrossStage", "YoloV4Tiny"]


def _normed(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))


class CrossStage(nn.Module):
    """A block whose inner layers see half of the channels: (N, width, H, W) to two wires.

    They are what later layers may take, (N, width, H, W), and the halved image, (N, 2 width, H / 2, W / 2).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1, self.conv2 = _normed(width, width, 3), _normed(half, half, 3)
        self.conv3, self.conv4 = _normed(half, half, 3), _normed(width, width, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both outputs."""
        x = self.conv1(x)
        inner = self.conv2(x.chunk(2, 1)[1])
        joined = self.conv4(torch.cat([self.conv3(inner), inner], 1))
        return joined, self.pool(torch.cat([x, joined], 1))


class YoloV4Tiny(nn.Module):
    """(N, 3, side, side), side a multiple of 32, to boxes at side / 32 and side / 16: (N, 3 (classes + 5), h, w).

    The client decodes boxes and drops overlapping ones; `width` is that of the first layer.
    """

    def __init__(self, classes: int = 80, width: int = 32) -> None:
        super().__init__()
        outputs = 3 * (classes + 5)
        self.stem = nn.Sequential(_normed(3, width, 3, 2), _normed(width, 2 * width, 3, 2))
        self.stage1, self.stage2, self.stage3 = CrossStage(2 * width), CrossStage(4 * width), CrossStage(8 * width)
        self.neck = nn.Sequential(_normed(16 * width, 16 * width, 3), _normed(16 * width, 8 * width, 1))
        self.coarse = nn.Sequential(_normed(8 * width, 16 * width, 3), nn.Conv2d(16 * width, outputs, 1))
        self.lateral, self.enlarge = _normed(8 * width, 4 * width, 1), nn.Upsample(scale_factor=2)
        self.fine = nn.Sequential(_normed(12 * width, 8 * width, 3), nn.Conv2d(8 * width, outputs, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The boxes of the coarse and of the fine scale."""
        _, x = self.stage1(self.stem(x))
        _, x = self.stage2(x)
        kept, x = self.stage3(x)
        x = self.neck(x)
        return self.coarse(x), self.fine(torch.cat([self.enlarge(self.lateral(x)), kept], 1))


NET = Net(
    published=Size(YoloV4Tiny, ((1, 3, 416, 416),)),
    small=Size(partial(YoloV4Tiny, classes=3, width=4), ((1, 3, 32, 32),)),
)
