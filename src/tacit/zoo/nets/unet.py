"""U-Net for images of the brain (Ronneberger, Fischer and Brox, MICCAI 2015; Buda, Saha and Mazurowski, Computers in
Biology and Medicine 2019).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "UNet"]


def _block(name: str, inputs: int, outputs: int) -> nn.Sequential:
    """Twice a convolution, a norm and a ReLU, called name + "conv1" and so on."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, channels in ((1, inputs), (2, outputs)):
        layers[f"{name}conv{number}"] = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        layers[f"{name}norm{number}"] = nn.BatchNorm2d(outputs)
        layers[f"{name}relu{number}"] = nn.ReLU()
    return nn.Sequential(layers)


class UNet(nn.Module):
    """(N, 3, side, side), side a multiple of 16, to logits of the mask (N, 1, side, side); the sigmoid is the client's.

    `width` channels at first; names are those of the weights that the second paper's authors published.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        inputs = 3
        for level in range(1, 5):
            self.add_module(f"encoder{level}", _block(f"enc{level}", inputs, width << level - 1))
            inputs = width << level - 1
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = _block("bottleneck", inputs, 2 * inputs)
        for level in range(4, 0, -1):
            channels = width << level - 1
            self.add_module(f"upconv{level}", nn.ConvTranspose2d(2 * channels, channels, 2, 2))
            self.add_module(f"decoder{level}", _block(f"dec{level}", 2 * channels, channels))
        self.conv = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the mask."""
        kept = []
        for level in range(1, 5):
            kept.append(self.get_submodule(f"encoder{level}")(x))
            x = self.pool(kept[-1])
        x = self.bottleneck(x)
        for level in range(4, 0, -1):
            x = torch.cat([self.get_submodule(f"upconv{level}")(x), kept.pop()], 1)
            x = self.get_submodule(f"decoder{level}")(x)
        return self.conv(x)


NET = Net(
    published=Size(UNet, ((1, 3, 256, 256),)),
    small=Size(partial(UNet, width=2), ((1, 3, 16, 16),)),
)
