"""The shared child: one set of weights in which every cell of a space finds its own. Source: ENAS (ICML 2018)."""

from __future__ import annotations

import torch
from torch import nn

from tacit.codesign.cryptonas.layers import Merge, Reduction, operation, stem
from tacit.codesign.cryptonas.space import Cell, Space

__all__ = ["SharedChild"]


class SharedChild(nn.Module):
    """[N, channels, size, size] and a cell -> [N, classes], by the cell's share of the weights.

    Layers have every operation of the space, merges weights for every source, reductions all sources. Batch norms use
    the statistics of their batch, in evaluation too: those of one cell are not those of another. Dropout (a
    probability, in training only) comes before the classifier.
    """

    def __init__(self, space: Space, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.space = space
        channels = [space.shape(layer)[0] for layer in range(space.layers)]
        self.stem = stem(space.channels, space.width, running=False)
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: operation(name, count, running=False) for name in space.operations})
            for count in channels
        )
        self.merges = nn.ModuleList(
            Merge(count, layer + 1, running=False) for layer, count in enumerate(channels) if layer
        )
        self.reductions = nn.ModuleDict(
            {
                f"{layer}_{source}": Reduction(channels[layer], channels[layer + 1], running=False)
                for layer in space.reductions
                for source in range(layer + 2)
            }
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels[-1], space.classes)

    def forward(self, x: torch.Tensor, cell: Cell) -> torch.Tensor:
        """Logits of `cell`. Raises InvalidInput if it has another number of layers than the space."""
        self.space.check(cell)
        sources = {0: self.stem(x)}
        for layer, (name, skips) in enumerate(zip(cell.operations, cell.skips, strict=True)):
            y = self.layers[layer][name](sources[layer])
            if skips:
                y = self.merges[layer - 1]([*(sources[source] for source in skips), y], [*skips, layer])
            sources[layer + 1] = y
            if layer in self.space.reductions:
                read = cell.read_after(layer)
                sources = {source: self.reductions[f"{layer}_{source}"](sources[source]) for source in read}
        return self.classifier(self.dropout(sources[self.space.layers].mean((2, 3))))
