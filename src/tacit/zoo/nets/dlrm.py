"""DLRM, a recommendation model, in its size for Criteo's Kaggle data (Naumov et al., 2019).

The client looks its categories up (`LookUp`), whose tables are public to it, and applies the sigmoid.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["DLRM", "NET", "LookUp"]


def _perceptron(sizes: tuple[int, ...], activate_last: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*(layers if activate_last else layers[:-1]))


class LookUp(nn.Module):
    """The client's part: categories (N, number of tables), each below its table's size, to (N, tables, width)."""

    def __init__(self, sizes: tuple[int, ...], width: int = 16) -> None:
        super().__init__()
        self.emb_l = nn.ModuleList(nn.Embedding(size, width) for size in sizes)

    def forward(self, categories: Tensor) -> Tensor:
        """The vectors."""
        return torch.stack([table(categories[:, place]) for place, table in enumerate(self.emb_l)], 1)


class DLRM(nn.Module):
    """Numbers (N, bottom[0]) and looked-up vectors (N, tables, bottom[-1]) to logits (N, 1) of a click.

    Names are those of the authors' code.
    """

    def __init__(
        self,
        bottom: tuple[int, ...] = (13, 512, 256, 64, 16),
        tables: int = 26,
        top: tuple[int, ...] = (512, 256, 1),
    ) -> None:
        super().__init__()
        vectors = tables + 1
        self.bot_l = _perceptron(bottom, activate_last=True)
        self.top_l = _perceptron((bottom[-1] + vectors * (vectors - 1) // 2, *top), activate_last=False)
        pairs = torch.tensor([row * vectors + column for row in range(vectors) for column in range(row)])
        self.register_buffer("pairs", pairs, persistent=False)

    def forward(self, numbers: Tensor, looked_up: Tensor) -> Tensor:
        """The logits: of the dense features, and of the products of every two vectors."""
        dense = self.bot_l(numbers)
        vectors = torch.cat([dense.unsqueeze(1), looked_up], 1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        return self.top_l(torch.cat([dense, products.index_select(1, self.pairs)], 1))


NET = Net(
    published=Size(DLRM, ((1, 13), (1, 26, 16))),
    small=Size(partial(DLRM, (5, 8, 4), 3, (8, 1)), ((1, 5), (1, 3, 4))),
    beside=("emb_l.",),
)
