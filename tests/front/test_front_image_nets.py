"""Blocks of published nets for images, written from their papers: imported by every way there is, and run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Unit(nn.Sequential):
    """A convolution that keeps the size at stride 1, a norm and an activation."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1, act: Any = nn.ReLU):
        conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), act())


class Squeeze(nn.Module):
    """Squeeze and excitation (Hu, Shen and Sun, CVPR 2018)."""

    def __init__(self, maps: int, inner: int, act: Any = nn.ReLU, gate: Any = nn.Sigmoid) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(maps, inner, 1), nn.Conv2d(inner, maps, 1)
        self.act, self.gate = act(), gate()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.up(self.act(self.down(x.mean((2, 3), keepdim=True)))))


class MBConv(nn.Module):
    """EfficientNet's and MobileNetV3's inverted residual (Tan and Le, ICML 2019; Howard and others, ICCV 2019)."""

    def __init__(self, maps: int, outputs: int, size: int, stride: int, act: Any, gate: Any) -> None:
        super().__init__()
        wide = 3 * maps
        self.body = nn.Sequential(
            Unit(maps, wide, act=act),
            Unit(wide, wide, size, stride, wide, act),
            Squeeze(wide, maps, act if gate is nn.Sigmoid else nn.ReLU, gate),
            Unit(wide, outputs, act=nn.Identity),
        )
        self.skip = stride == 1 and maps == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.skip else y


def efficient_net() -> nn.Module:
    blocks = [MBConv(4, 4, 3, 1, nn.SiLU, nn.Sigmoid), MBConv(4, 6, 5, 2, nn.SiLU, nn.Sigmoid)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, 3))
    return nn.Sequential(Unit(3, 4, 3, 2, act=nn.SiLU), *blocks, head)


def mobile_net_v3() -> nn.Module:
    blocks = [
        MBConv(4, 4, 3, 1, nn.ReLU, nn.Hardsigmoid),
        MBConv(4, 6, 5, 2, nn.Hardswish, nn.Hardsigmoid),
    ]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 8, 1), nn.Hardswish(), nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(Unit(3, 4, 3, 2, act=nn.Hardswish), *blocks, head)


class ChannelsLast(nn.LayerNorm):
    """A layer norm of the channels of images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NeXt(nn.Module):
    """ConvNeXt's block with its layer scale (Liu and others, CVPR 2022)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(maps, maps, 7, padding=3, groups=maps), nn.LayerNorm(maps, eps=1e-6)
        self.wide, self.narrow = nn.Linear(maps, 4 * maps), nn.Linear(4 * maps, maps)
        self.gamma = nn.Parameter(torch.full((maps,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.narrow(F.gelu(self.wide(y)))).permute(0, 3, 1, 2)


def conv_next() -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(3, 4, 4, 4), ChannelsLast(4, eps=1e-6))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 3))
    return nn.Sequential(stem, NeXt(4), head)


class Grouped(nn.Module):
    """RegNetY's and SE-ResNeXt's bottleneck (Radosavovic and others, CVPR 2020; Xie and others, CVPR 2017)."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.one, self.two = Unit(inputs, outputs), Unit(outputs, outputs, 3, stride, groups)
        self.squeeze, self.three = Squeeze(outputs, 2), Unit(outputs, outputs, act=nn.Identity)
        self.short = Unit(inputs, outputs, 1, stride, act=nn.Identity) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.three(self.squeeze(self.two(self.one(x)))) + self.short(x))


def reg_net() -> nn.Module:
    return nn.Sequential(Unit(3, 4, 3, 2), Grouped(4, 8, 2, 2), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten())


def se_res_next() -> nn.Module:
    stem = nn.Sequential(Unit(3, 8, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True))
    return nn.Sequential(stem, Grouped(8, 8, 1, 4), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))


class Shuffled(nn.Module):
    """ShuffleNetV2's units of stride 1 and 2 (Ma and others, ECCV 2018)."""

    def __init__(self, maps: int, stride: int) -> None:
        super().__init__()
        half = maps if stride > 1 else maps // 2
        depth = Unit(half, half, 3, stride, half, nn.Identity)
        self.right = nn.Sequential(Unit(half, half), depth, Unit(half, half))
        left = (Unit(maps, maps, 3, 2, maps, nn.Identity), Unit(maps, maps))
        self.left = nn.Sequential(*left) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        if self.left is None:
            first, second = x.chunk(2, dim=1)
            y = torch.cat((first, self.right(second)), dim=1)
        else:
            y = torch.cat((self.left(x), self.right(x)), dim=1)
        batch, maps, high, wide = y.size()
        return y.view(batch, 2, maps // 2, high, wide).transpose(1, 2).contiguous().view(batch, -1, high, wide)


def shuffle_net() -> nn.Module:
    stem = nn.Sequential(Unit(3, 4, 3, 2), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(stem, Shuffled(4, 2), Shuffled(8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


class Inception(nn.Module):
    """Branches of several sizes, factorised ones too (Szegedy and others, CVPR 2016)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.one, self.five = Unit(maps, 2), nn.Sequential(Unit(maps, 2), Unit(2, 2, 5))
        wide, high = nn.Conv2d(2, 2, (1, 7), padding=(0, 3)), nn.Conv2d(2, 2, (7, 1), padding=(3, 0))
        self.seven = nn.Sequential(Unit(maps, 2), wide, nn.BatchNorm2d(2), nn.ReLU(), high)
        self.pooled = Unit(maps, 2)

    def forward(self, x: Tensor) -> Tensor:
        mean = F.avg_pool2d(x, 3, stride=1, padding=1)
        y = torch.cat([self.one(x), self.five(x), self.seven(x), self.pooled(mean)], 1)
        return torch.cat([F.max_pool2d(y, 3, 2), F.avg_pool2d(y, 3, 2, count_include_pad=False)], 1)


def inception() -> nn.Module:
    return nn.Sequential(Unit(3, 4, 3), Inception(4), nn.Flatten(), nn.Linear(16 * 49, 3))


class Ghost(nn.Module):
    """GhostNet's module: cheap maps beside the others, as many as are wanted (Han and others, CVPR 2020)."""

    def __init__(self, inputs: int, outputs: int, act: Any = nn.ReLU) -> None:
        super().__init__()
        inner = -(-outputs // 2)
        self.outputs = outputs
        self.first, self.cheap = Unit(inputs, inner, act=act), Unit(inner, inner, 3, groups=inner, act=act)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return torch.cat([first, self.cheap(first)], dim=1)[:, : self.outputs, :, :]


class GhostNet(nn.Module):
    """A ghost bottleneck with its gate, clipped as the authors' is."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.squeeze, self.narrow = Ghost(3, 7), Squeeze(7, 2, gate=nn.ReLU6), Ghost(7, 5, nn.Identity)
        self.short = nn.Sequential(Unit(3, 3, 3, groups=3, act=nn.Identity), Unit(3, 5, act=nn.Identity))

    def forward(self, x: Tensor) -> Tensor:
        return (self.narrow(self.squeeze(self.wide(x))) + self.short(x)).flatten(1)


class Decoder(nn.Module):
    """A generator of images: transposed convolutions, group norms, and pixels that are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(6, 4 * 3 * 3)
        self.up = nn.ConvTranspose2d(4, 4, 4, 2, 1, bias=False)
        self.odd = nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1, groups=2)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.GroupNorm(2, 4)])
        self.last = nn.Conv2d(4, 12, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = F.leaky_relu(self.norms[0](self.up(self.start(z).unflatten(1, (4, 3, 3)))), 0.2)
        return torch.tanh(F.pixel_shuffle(self.last(F.silu(self.norms[1](self.odd(x)))), 2))


def super_resolution() -> nn.Module:
    """Convolutions of small images whose last channels become pixels (Shi and others, CVPR 2016)."""
    first, second = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 4, 3, padding=1)
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), nn.Conv2d(4, 9, 3, padding=1), nn.PixelShuffle(3))


class UNet(nn.Module):
    """Down and up again by bilinear interpolation, cut to the sizes that the other way has."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = Unit(3, 4, 3), Unit(4, 6, 3), Unit(6, 6, 3)
        self.up1, self.up2, self.last = Unit(12, 4, 3), Unit(8, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.first(x)
        two = self.second(F.max_pool2d(one, 2))
        y = F.interpolate(self.third(F.max_pool2d(two, 2)), scale_factor=2, mode="bilinear", align_corners=True)
        dy, dx = two.size(2) - y.size(2), two.size(3) - y.size(3)
        y = F.pad(y, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        y = F.interpolate(self.up1(torch.cat([two, y], 1)), size=one.shape[2:], mode="bilinear", align_corners=False)
        return self.last(self.up2(torch.cat([one, y], dim=1)))


IMAGE, ODD = (1, 3, 16, 16), (1, 3, 14, 14)
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "EfficientNet": (efficient_net, IMAGE),
    "ConvNeXt": (conv_next, IMAGE),
    "RegNet": (reg_net, IMAGE),
    "ShuffleNetV2": (shuffle_net, IMAGE),
    "MobileNetV3": (mobile_net_v3, IMAGE),
    "Inception": (inception, IMAGE),
    "GhostNet": (GhostNet, (1, 3, 6, 6)),
    "SE-ResNeXt": (se_res_next, IMAGE),
    "decoder": (Decoder, (1, 6)),
    "pixel shuffle": (super_resolution, (1, 1, 6, 6)),
    "U-Net": (UNet, ODD),
}


@pytest.mark.parametrize("name", NETS)
def test_what_torch_exports(name: str, imported: Any) -> None:
    build, shape = NETS[name]
    imported(build, torch.randn(*shape, generator=torch.Generator().manual_seed(3)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_by_every_other_way_and_privately(name: str, everywhere: Any) -> None:
    build, shape = NETS[name]
    everywhere(build, torch.randn(*shape, generator=torch.Generator().manual_seed(3)))
