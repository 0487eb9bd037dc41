"""The macro space of CryptoNAS: cells, the nets that they make at a width, and how many ReLUs those have.

A net is a stem (3x3 convolution and batch norm, no ReLU), L layers, a global mean and a linear classifier. Source 0 is
the stem's output, source i that of layer i - 1. Layer j reads source j through its one ReLU, applies an operation and a
batch norm, and may take sources 0 to j - 1 besides ("skips"), which are concatenated and merged by a 1x1 convolution
and a batch norm, without ReLU. After L/3 and 2L/3 layers every source is halved in height and width, and channels grow
fourfold, so that each layer has the same number of ReLUs: L·H·W·width in all, whatever the operations and the skips.
Source: Ghodsi, Veldanda, Reagen and Garg, NeurIPS 2020; skips are numbered as in ENAS (Pham et al., ICML 2018).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch

from tacit.errors import InvalidInput

__all__ = ["CONVOLUTIONS", "OPERATIONS", "PUBLISHED", "Cell", "Space", "published"]

#: A layer's operations: dense and separable convolutions of two sizes, and means and maxima over 3x3 windows.
OPERATIONS = ("conv3", "sep3", "conv5", "sep5", "avg", "max")
#: Those of the published cells.
CONVOLUTIONS = OPERATIONS[:4]

_LAYER = re.compile(r"(?P<operation>[a-z]+[0-9]?)(?:\+(?P<skips>[0-9]+(?:,[0-9]+)*))?")
_BLOCKS = 3


@dataclass(frozen=True)
class Cell:
    """One architecture: the operation of each layer, and the earlier sources that it takes besides its own.

    As text a layer is its operation and, after a plus, its skips: "sep5 conv3 conv3+0,1". Raises InvalidInput for an
    unknown operation and for skips that are not earlier sources in ascending order.
    """

    operations: tuple[str, ...]
    skips: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.operations or len(self.operations) != len(self.skips):
            raise InvalidInput("a cell has at least one layer, and as many lists of skips as operations")
        for layer, (operation, skips) in enumerate(zip(self.operations, self.skips, strict=True)):
            if operation not in OPERATIONS:
                raise InvalidInput(f"layer {layer} of the cell has the operation {operation!r}; there are {OPERATIONS}")
            if list(skips) != sorted(set(skips)) or any(not 0 <= source < layer for source in skips):
                raise InvalidInput(f"layer {layer} of the cell skips from {skips}; ascending sources below {layer} do")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cell that `str` wrote. Raises InvalidInput."""
        matches = [(word, _LAYER.fullmatch(word)) for word in text.split()]
        wrong = next((word for word, match in matches if match is None), None)
        if wrong is not None or not matches:
            raise InvalidInput(f"{wrong or text!r} is no layer of a cell; write conv3, or sep5+0,2 with its skips")
        found = [match for _, match in matches if match is not None]
        skips = tuple(tuple(map(int, m["skips"].split(","))) if m["skips"] else () for m in found)
        return cls(tuple(m["operation"] for m in found), skips)

    def __str__(self) -> str:
        return " ".join(
            operation + ("+" + ",".join(map(str, skips)) if skips else "")
            for operation, skips in zip(self.operations, self.skips, strict=True)
        )

    @property
    def layers(self) -> int:
        """How many layers the cell has."""
        return len(self.operations)

    def read_after(self, layer: int) -> tuple[int, ...]:
        """The sources made up to `layer` that layers after it read, ascending."""
        later = {source for skips in self.skips[layer + 1 :] for source in skips if source <= layer + 1}
        return tuple(sorted(later | {layer + 1}))

    def dense(self) -> Cell:
        """The same with dense convolutions for the separable ones, which is how the published nets were trained."""
        return Cell(tuple(name.replace("sep", "conv") for name in self.operations), self.skips)


#: The cells published for CIFAR-100, with the widths of CNet1, CNet2 and CNet3. A fact of the paper's repository.
PUBLISHED = {
    "cnet1": ("sep5 conv3 conv3+0,1 conv3 sep3 sep3+3,4", 14),
    "cnet2": (
        "sep5 sep5 conv5+0,1 conv5 conv5+1,3 sep5+0,2,4 sep5+0,3,4 conv3+0,3,5 conv3+0,4,5,7 conv3+1,5,8 sep3+8 "
        "sep5+2,4,6",
        28,
    ),
    "cnet3": (
        "sep3 conv5 sep5+0,1 sep3 sep5 conv5+2 sep5+1,3,5 conv3+1,5 sep5+0,3,4,6,7 conv5+1,2,3,5 sep5+2,4,6,9 "
        "conv3+0,1,3,5,8 conv3+1,2,3,11 conv5+1,3,6,8,11,12 sep3+0,2,4,5,7,13 conv5+0,3,12 sep3+5 "
        "sep3+0,1,7,8,10,11,12,15,16 conv3+3,6,7,13,14,15,17 sep3+0,2,3,4,6,15,16,17,18 "
        "conv3+1,3,4,8,9,12,18,19 sep3+5,10,13,14,15,17,19 sep3+2,3,7,9,10,11,12,13,15,17,20,21 "
        "conv5+2,3,4,8,10,11,13,14,20,22",
        56,
    ),
}


@dataclass(frozen=True)
class Space:
    """The nets of one depth and width, for one kind of image.

    layers      a multiple of three
    width       channels of the stem and of the first third
    size        height and width of the images, a multiple of four
    classes     of the answer; `channels` of the images
    operations  that a search may choose from
    growth      of the channels at each reduction; 4 keeps the ReLUs of all layers equal ("ReLU balancing")

    Raises InvalidInput.
    """

    layers: int = 6
    width: int = 12
    size: int = 32
    classes: int = 10
    channels: int = 3
    operations: tuple[str, ...] = CONVOLUTIONS
    growth: int = 4

    def __post_init__(self) -> None:
        if self.layers < _BLOCKS or self.layers % _BLOCKS:
            raise InvalidInput(f"a macro space has 3, 6, 9, ... layers, not {self.layers}")
        if self.size < 4 or self.size % 4:
            raise InvalidInput(f"images of the macro space are squares of a side divisible by 4, not {self.size}")
        if min(self.width, self.classes, self.channels, self.growth) < 1:
            raise InvalidInput("width, classes, channels and growth of a macro space are at least 1")
        unknown = [name for name in self.operations if name not in OPERATIONS]
        if unknown or not self.operations or len(set(self.operations)) != len(self.operations):
            raise InvalidInput(f"the operations of a space are some of {OPERATIONS}, each once, not {self.operations}")

    @classmethod
    def of(cls, data: Any, **given: Any) -> Self:
        """The space for the images and classes of `data` (a `tacit.codesign.data.Data`). Raises InvalidInput."""
        channels, height, width = data.shape
        if height != width:
            raise InvalidInput(f"{data.name} has images of {height} by {width}; the macro space takes squares")
        return cls(size=height, classes=data.classes, channels=channels, **given)

    def wide(self, width: int) -> Self:
        """The same space at another width."""
        return replace(self, width=width)

    @cached_property
    def reductions(self) -> tuple[int, int]:
        """The layers after which every source is halved."""
        third = self.layers // _BLOCKS
        return (third - 1, 2 * third - 1)

    def block(self, layer: int) -> int:
        """Which third of the net `layer` is in: 0, 1 or 2."""
        return layer * _BLOCKS // self.layers

    def shape(self, layer: int) -> tuple[int, int, int]:
        """(channels, height, width) of what the ReLU of `layer` reads, and of what the layer makes."""
        block = self.block(layer)
        side = self.size >> block
        return (self.width * self.growth**block, side, side)

    @property
    def relus(self) -> int:
        """ReLUs of every net of this space, one example."""
        shapes = map(self.shape, range(self.layers))
        return sum(channels * height * width for channels, height, width in shapes)

    def width_within(self, relus: int) -> int:
        """The largest width whose nets have at most `relus` ReLUs. Raises InvalidInput if not even width 1 does."""
        each = self.wide(1).relus
        if relus < each:
            raise InvalidInput(
                f"{relus:,} ReLUs are too few for {self.layers} layers on {self.size}x{self.size} images, which take "
                f"{each:,} at width 1; take fewer layers or smaller images"
            )
        return relus // each

    def check(self, cell: Cell) -> None:
        """Raises InvalidInput unless `cell` has as many layers as this space."""
        if cell.layers != self.layers:
            raise InvalidInput(f"the cell has {cell.layers} layers, the space {self.layers}")

    def draw(self, generator: torch.Generator, *, skip_rate: float = 0.4) -> Cell:
        """A random cell: operations uniform, each possible skip with probability `skip_rate`."""
        picks = torch.randint(len(self.operations), (self.layers,), generator=generator).tolist()
        skips = tuple(
            tuple(torch.nonzero(torch.rand(layer, generator=generator) < skip_rate).flatten().tolist())
            for layer in range(self.layers)
        )
        return Cell(tuple(self.operations[pick] for pick in picks), skips)


def published(name: str, *, classes: int = 100, size: int = 32) -> tuple[Space, Cell]:
    """A net of the paper as its space and cell: "cnet1", "cnet2" or "cnet3". Raises InvalidInput."""
    if name not in PUBLISHED:
        raise InvalidInput(f"there is no published cell {name!r}; there are {', '.join(PUBLISHED)}")
    text, width = PUBLISHED[name]
    cell = Cell.parse(text)
    return Space(cell.layers, width, size, classes), cell
