"""The parts of which the nets of the macro space are made, the shared child's and the found net's alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["Merge", "Reduction", "operation", "stem"]


def operation(name: str, channels: int, *, running: bool = True) -> nn.Sequential:
    """A pre-activation layer [N, channels, H, W] -> the same: ReLU, the operation called `name`, batch norm.

    Without `running` the norm keeps no statistics and always uses those of its batch, as shared weights need.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict(relu=nn.ReLU())
    kind, digit = name.rstrip("0123456789"), name.lstrip("abcdefghijklmnopqrstuvwxyz")
    width = int(digit or 3)
    if kind == "conv":
        parts["conv"] = nn.Conv2d(channels, channels, width, padding=width // 2, bias=False)
    elif kind == "sep":
        parts["depth"] = nn.Conv2d(channels, channels, width, padding=width // 2, groups=channels, bias=False)
        parts["point"] = nn.Conv2d(channels, channels, 1, bias=False)
    elif kind == "avg":
        parts["pool"] = nn.AvgPool2d(width, 1, width // 2)
    elif kind == "max":
        parts["pool"] = nn.MaxPool2d(width, 1, width // 2)
    else:
        raise ValueError(f"no operation is called {name!r}")
    parts["norm"] = _norm(channels, running)
    return nn.Sequential(parts)


def stem(inputs: int, channels: int, *, running: bool = True) -> nn.Sequential:
    """The first layer [N, inputs, H, W] -> [N, channels, H, W]: 3x3 convolution and batch norm, no ReLU."""
    conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=_norm(channels, running)))


class Reduction(nn.Module):
    """A factorised reduction [N, inputs, H, W] -> [N, outputs, H/2, W/2] (H and W even), without ReLU.

    Half of the channels see the pixels at even places, half those one further right and down. Source: ENAS.
    """

    def __init__(self, inputs: int, outputs: int, *, running: bool = True) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False) if outputs > 1 else None
        self.norm = _norm(outputs, running)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both halves, joined and normalised."""
        halves = [self.even(x)] if self.odd is None else [self.even(x), self.odd(x[:, :, 1:, 1:])]
        return self.norm(torch.cat(halves, 1))


class Merge(nn.Module):
    """Several arrays [N, channels, H, W] -> one of them: concatenated, 1x1 convolution, batch norm; no ReLU.

    It has weights for `places` arrays and takes any of them, at the `places` given: those of the others stay out.
    """

    def __init__(self, channels: int, places: int, *, running: bool = True) -> None:
        super().__init__()
        self.channels = channels
        self.conv = nn.Conv2d(places * channels, channels, 1, bias=False)
        self.norm = _norm(channels, running)

    def forward(self, parts: Sequence[torch.Tensor], places: Sequence[int] | None = None) -> torch.Tensor:
        """`parts` are the arrays at the ascending `places`; all of them without."""
        joined = torch.cat(list(parts), 1)
        if places is None:
            return self.norm(self.conv(joined))
        grouped = self.conv.weight.unflatten(1, (-1, self.channels))
        chosen = grouped[:, list(places)].flatten(1, 2)
        return self.norm(nn.functional.conv2d(joined, chosen))


def _norm(channels: int, running: bool) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=running)
