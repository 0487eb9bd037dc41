"""Residual nets (He, Zhang, Ren and Sun, CVPR 2016), with torchvision's names: for ImageNet, and for CIFAR-10."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from tacit.zoo.net import Net, Size

__all__ = ["BasicBlock", "Bottleneck", "CifarResNet", "ImageResNet", "Subsample", "cifar_net", "image_net"]


def _conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (N, inputs, H, W) to (N, width, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv3(inputs, width, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv3(width, width), nn.BatchNorm2d(width)
        self.relu, self.downsample = nn.ReLU(), shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 3x3 convolution between 1x1 ones beside a shortcut: (N, inputs, H, W) to (N, 4 width, H / stride, W / stride).

    The stride is the 3x3 convolution's, as in torchvision.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv3(width, width, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu, self.downsample = nn.ReLU(), shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class Subsample(nn.Module):
    """The shortcut without weights, option A of the paper: every other pixel, and channels of zeros."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + more, H / 2, W / 2)."""
        return functional.pad(functional.avg_pool2d(x, 1, 2), (0, 0, 0, 0, 0, self.more))


class ImageResNet(nn.Module):
    """(N, 3, side, side) to logits (N, classes), with projection shortcuts; names are torchvision's.

    `width` are the channels of the first stage. With a `small_stem` the net begins with a 3x3 convolution and no pool,
    as is usual for images of 32x32 pixels and less.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        counts: tuple[int, ...],
        classes: int = 1000,
        width: int = 64,
        *,
        small_stem: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = _conv3(3, width) if small_stem else nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU()
        self.maxpool = nn.Identity() if small_stem else nn.MaxPool2d(3, 2, 1)
        inputs = width
        for stage, count in enumerate(counts):
            layers = []
            for number in range(count):
                outputs, stride = width << stage, 2 if stage and number == 0 else 1
                wide = block.expansion * outputs
                project = nn.Sequential(nn.Conv2d(inputs, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
                layers.append(block(inputs, outputs, stride, project if stride > 1 or inputs != wide else None))
                inputs = wide
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.avgpool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avgpool(x)))


class CifarResNet(nn.Module):
    """(N, 3, side, side) to logits (N, 10) by 6 `blocks` + 2 layers, section 4.2; shortcuts have no weights."""

    def __init__(self, blocks: int, width: int = 16) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = _conv3(3, width), nn.BatchNorm2d(width), nn.ReLU()
        inputs = width
        for stage in range(3):
            layers = []
            for number in range(blocks):
                outputs, stride = width << stage, 2 if stage and number == 0 else 1
                layers.append(BasicBlock(inputs, outputs, stride, Subsample(outputs - inputs) if stride > 1 else None))
                nn.init.constant_(layers[-1].bn2.weight, (2 * blocks) ** -0.5)  # keeps sums small at any depth
                inputs = outputs
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.avgpool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x))))))
        return self.fc(self.flatten(self.avgpool(x)))


def image_net(block: type[BasicBlock] | type[Bottleneck], counts: tuple[int, ...]) -> Net:
    """The net for 224x224 images with `counts` blocks a stage; small: a block a stage, 8 channels, 32x32 pixels."""
    small = partial(ImageResNet, block, (1, 1, 1, 1), classes=10, width=8)
    published = partial(ImageResNet, block, counts)
    return Net(Size(published, ((1, 3, 224, 224),)), Size(small, ((1, 3, 32, 32),)))


def cifar_net(depth: int) -> Net:
    """The net of `depth` layers, 6 n + 2, for 32x32 images; small: two blocks a stage, 4 channels, 8x8 pixels."""
    blocks, rest = divmod(depth - 2, 6)
    assert blocks > 0, depth
    assert rest == 0, depth
    published, small = partial(CifarResNet, blocks), partial(CifarResNet, 2, width=4)
    return Net(Size(published, ((1, 3, 32, 32),)), Size(small, ((1, 3, 8, 8),)))
