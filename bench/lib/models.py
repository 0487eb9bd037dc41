"""The benchmark nets in plain PyTorch, each with ReLU as published and with a quartic, and with made weights.

    lenet5     LeNet-5 for 28x28 digits (LeCun et al., Proc. IEEE 1998), padded first convolution; max pools
    minionn    the CIFAR-10 net of MiniONN (Liu et al., CCS 2017), figure 13; average pools
    resnet18   the ImageNet block plan (He et al., CVPR 2016) with the usual CIFAR stem: 3x3, stride 1, no pool
    resnet32   He et al. section 4.2, n = 5; projection shortcuts where the shape changes
    resnet110  the same, n = 18
    vgg16      configuration D (Simonyan and Zisserman, ICLR 2015) for CIFAR-10, one linear layer at the end; max pools
    resnet50   bottleneck blocks, 224x224, 1000 classes; a 3x3 max pool of stride 2 after the stem

With "relu" the pools are the published ones; with "quartic" every pool is an average, and the weights keep the
activations' inputs within 8. Batch norms are taken as folded into the convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "INPUT_RANGE", "NETS", "Net", "Quartic", "build", "images", "largest_input"]

#: Every quartic's input stays within this magnitude on the inputs of `images`; it is made for that range.
INPUT_RANGE = 8.0

# Peaks of a layer's output over the calibration inputs. A residual sum adds a branch to the shortcut, which is either a
# projection or an activation's output: a quartic's is 4.95 at most, a ReLU's grows by a branch's peak a block.
_PEAK, _BRANCH_PEAK, _PROJECTION_PEAK = 5.0, 2.0, 4.0


class Quartic(nn.Module):
    """PILLAR's public quartic near ReLU on [-8, 8] (Diaa et al., USENIX Security 2024); any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate it element by element."""
        return (322 + 512 * x + 160 * x**2 - 3 * x**4) / 1024


@dataclass(frozen=True)
class Style:
    """Which activation a net is built with, and which pools: `halve` of a window of 2, `stem` that of ResNet-50."""

    act: Callable[[], nn.Module]
    halve: Callable[[], nn.Module]
    stem: Callable[[], nn.Module]


_STYLES = {
    "relu": Style(nn.ReLU, lambda: nn.MaxPool2d(2), lambda: nn.MaxPool2d(3, 2, 1)),
    "quartic": Style(Quartic, lambda: nn.AvgPool2d(2), lambda: nn.AvgPool2d(2)),
}
#: What a net can be built with.
ACTIVATIONS = tuple(_STYLES)


class Residual(nn.Module):
    """act(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut, act

    def forward(self, x: Tensor) -> Tensor:
        """Add the branches and activate."""
        return self.act(self.body(x) + self.shortcut(x))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1, padding: int | None = None) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2 if padding is None else padding)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Identity() if inputs == outputs and stride == 1 else _conv(inputs, outputs, 1, stride)


def _basic(style: Style, inputs: int, outputs: int, stride: int) -> Residual:
    body = nn.Sequential(_conv(inputs, outputs, 3, stride), style.act(), _conv(outputs, outputs, 3))
    return Residual(body, _shortcut(inputs, outputs, stride), style.act())


def _bottleneck(style: Style, inputs: int, outputs: int, stride: int) -> Residual:
    width = outputs // 4
    middle = [_conv(inputs, width, 1), style.act(), _conv(width, width, 3, stride), style.act()]
    body = nn.Sequential(*middle, _conv(width, outputs, 1))
    return Residual(body, _shortcut(inputs, outputs, stride), style.act())


def _stages(
    style: Style,
    block: Callable[[Style, int, int, int], Residual],
    inputs: int,
    widths: tuple[int, ...],
    counts: tuple[int, ...],
) -> list[nn.Module]:
    """Residual stages: each halves the image at its first block, except the first stage."""
    layers: list[nn.Module] = []
    for stage, (width, count) in enumerate(zip(widths, counts, strict=True)):
        for number in range(count):
            layers.append(block(style, inputs, width, 2 if stage and number == 0 else 1))
            inputs = width
    return layers


def _head(features: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, classes)]


def _lenet5(style: Style) -> nn.Sequential:
    first = [_conv(1, 6, 5), style.act(), style.halve()]
    second = [_conv(6, 16, 5, padding=0), style.act(), style.halve(), nn.Flatten()]
    linears = [nn.Linear(400, 120), style.act(), nn.Linear(120, 84), style.act(), nn.Linear(84, 10)]
    return nn.Sequential(*first, *second, *linears)


def _minionn(style: Style) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for outputs, size, pool in ((64, 3, 0), (64, 3, 2), (64, 3, 0), (64, 3, 2), (64, 3, 0), (64, 1, 0), (16, 1, 0)):
        layers += [_conv(inputs, outputs, size), style.act()]
        layers += [nn.AvgPool2d(pool)] if pool else []
        inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 10))


def _vgg16(style: Style) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [_conv(inputs, width, 3), style.act()]
            inputs = width
        layers.append(style.halve())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def _cifar_resnet(style: Style, blocks: int) -> nn.Sequential:
    stages = _stages(style, _basic, 16, (16, 32, 64), (blocks,) * 3)
    return nn.Sequential(_conv(3, 16, 3), style.act(), *stages, *_head(64, 10))


def _resnet18(style: Style) -> nn.Sequential:
    stages = _stages(style, _basic, 64, (64, 128, 256, 512), (2, 2, 2, 2))
    return nn.Sequential(_conv(3, 64, 3), style.act(), *stages, *_head(512, 10))


def _resnet50(style: Style) -> nn.Sequential:
    stages = _stages(style, _bottleneck, 64, (256, 512, 1024, 2048), (3, 4, 6, 3))
    return nn.Sequential(_conv(3, 64, 7, 2), style.act(), style.stem(), *stages, *_head(2048, 1000))


@dataclass(frozen=True)
class Net:
    """One benchmark net: how to build it and the shape (channels, rows, columns) of one input."""

    make: Callable[[Style], nn.Sequential]
    shape: tuple[int, int, int]


NETS = {
    "lenet5": Net(_lenet5, (1, 28, 28)),
    "minionn": Net(_minionn, (3, 32, 32)),
    "resnet32": Net(lambda style: _cifar_resnet(style, 5), (3, 32, 32)),
    "resnet18": Net(_resnet18, (3, 32, 32)),
    "vgg16": Net(_vgg16, (3, 32, 32)),
    "resnet110": Net(lambda style: _cifar_resnet(style, 18), (3, 32, 32)),
    "resnet50": Net(_resnet50, (3, 224, 224)),
}


def images(name: str, count: int, seed: int = 11) -> NDArray[np.float32]:
    """`count` made inputs of the net, normal values as after the usual normalisation: (count, *shape)."""
    return np.random.default_rng(seed).standard_normal((count, *NETS[name].shape)).astype(np.float32)


def _peaks(model: nn.Module) -> dict[nn.Module, float]:
    """The peak that each linear layer's output is scaled to."""
    peaks = {layer: _PEAK for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}
    for block in model.modules():
        if isinstance(block, Residual):
            peaks[list(block.body)[-1]] = _BRANCH_PEAK  # type: ignore[call-overload]
            if not isinstance(block.shortcut, nn.Identity):
                peaks[block.shortcut] = _PROJECTION_PEAK
    return peaks


def _normalise(layer: nn.Module, peak: float, y: Tensor) -> Tensor:
    """Shift and scale the layer so that its output `y` has mean 0 per channel and largest magnitude `peak`.

    The mean is left alone where there are too few values to know it, as in the linear layers.
    """
    axes = (0, *range(2, y.dim()))
    mean = y.mean(axes) if y.numel() > 64 * y.shape[1] else torch.zeros(y.shape[1])
    shifted = y - mean.reshape(1, -1, *[1] * (y.dim() - 2))
    factor = peak / float(shifted.abs().max())
    layer.weight.mul_(factor)
    layer.bias.sub_(mean).mul_(factor)
    return shifted * factor


def build(name: str, activation: str = "quartic", *, calibration: int = 8, seed: int = 7) -> nn.Sequential:
    """The net with made weights, ready for inference. KeyError if there is no net `name` or no such activation.

    Weights are normal, scaled layer by layer on `calibration` inputs of `images`: every layer's output gets mean 0 per
    channel (linear layers aside) and a fixed peak, which keeps every quartic's input within INPUT_RANGE on them, or
    else AssertionError.
    """
    rng = np.random.default_rng(seed)
    model = NETS[name].make(_STYLES[activation]).eval().requires_grad_(False)
    peaks = _peaks(model)
    handles = []
    for layer, peak in peaks.items():
        fan_in = math.prod(layer.weight.shape[1:])
        made = rng.standard_normal(tuple(layer.weight.shape)) / math.sqrt(fan_in)
        layer.weight.copy_(torch.from_numpy(made))
        layer.bias.copy_(torch.from_numpy(rng.standard_normal(layer.bias.shape) / 8))
        handles.append(layer.register_forward_hook(lambda layer, _, y, peak=peak: _normalise(layer, peak, y)))
    x = torch.from_numpy(images(name, calibration))
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    if activation == "quartic" and not (largest := largest_input(model, x)) <= INPUT_RANGE:
        raise AssertionError(f"an activation of {name} sees {largest:g}, beyond {INPUT_RANGE:g}")
    return model


def largest_input(model: nn.Module, x: Tensor) -> float:
    """The largest magnitude that any activation of `model` sees on the batch `x`."""
    seen: list[float] = []
    handles = [
        layer.register_forward_pre_hook(lambda _, args: seen.append(float(args[0].abs().max())))
        for layer in model.modules()
        if isinstance(layer, (Quartic, nn.ReLU))
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return max(seen)
