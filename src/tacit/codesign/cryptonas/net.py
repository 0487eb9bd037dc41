"""The net of one cell at one width, as it is trained for good and compiled."""

from __future__ import annotations

import torch
from torch import nn

from tacit.codesign.cryptonas.layers import Merge, Reduction, operation, stem
from tacit.codesign.cryptonas.space import Cell, Space

__all__ = ["CellNet"]


class CellNet(nn.Module):
    """[N, channels, size, size] -> [N, classes]; it has `space.relus` ReLUs an example.

    A layer without skips has no merge, and what no later layer reads is not reduced. `dropout` is that before the
    classifier, in training only. Raises InvalidInput if the cell has another number of layers than the space.
    """

    def __init__(self, space: Space, cell: Cell, *, dropout: float = 0.0) -> None:
        super().__init__()
        space.check(cell)
        self.space, self.cell = space, cell
        channels = [space.shape(layer)[0] for layer in range(space.layers)]
        self.stem = stem(space.channels, space.width)
        self.layers = nn.ModuleList(operation(*each) for each in zip(cell.operations, channels, strict=True))
        self.merges = nn.ModuleDict(
            {str(layer): Merge(channels[layer], len(skips) + 1) for layer, skips in enumerate(cell.skips) if skips}
        )
        self.reductions = nn.ModuleDict(
            {
                f"{layer}_{source}": Reduction(channels[layer], channels[layer + 1])
                for layer in space.reductions
                for source in cell.read_after(layer)
            }
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels[-1], space.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        sources = {0: self.stem(x)}
        for layer, skips in enumerate(self.cell.skips):
            y = self.layers[layer](sources[layer])
            if skips:
                y = self.merges[str(layer)]([*(sources[source] for source in skips), y])
            sources[layer + 1] = y
            if layer in self.space.reductions:
                read = self.cell.read_after(layer)
                sources = {source: self.reductions[f"{layer}_{source}"](sources[source]) for source in read}
        return self.classifier(self.dropout(sources[self.space.layers].mean((2, 3))))
