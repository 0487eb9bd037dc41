"""An LSTM that classifies a text of 50 words (Hochreiter and Schmidhuber, Neural Computation 1997; Dai and Le, NIPS
2015).

The client looks the words up (`LookUp`), whose table is public to it. The recurrence is written out, since the length
that is compiled for is public.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from tacit.zoo.net import Net, Size

__all__ = ["NET", "LookUp", "TextLSTM"]


class LookUp(nn.Module):
    """The client's part: words (N, T), numbers below `words`, to vectors (N, T, width)."""

    def __init__(self, words: int = 20000, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)

    def forward(self, words: Tensor) -> Tensor:
        """The vectors."""
        return self.embedding(words)


class TextLSTM(nn.Module):
    """Words' vectors (N, T, width) to logits (N, classes), from the last state of `hidden` numbers.

    The weights are those of torch.nn.LSTM, called lstm, and of a linear layer, called fc.
    """

    def __init__(self, width: int = 64, hidden: int = 64, classes: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        seen = functional.linear(x, self.lstm.weight_ih_l0, self.lstm.bias_ih_l0 + self.lstm.bias_hh_l0)
        state, output = None, None
        for gates in seen.unbind(1):
            if output is not None:
                gates = gates + functional.linear(output, self.lstm.weight_hh_l0)
            taken, kept, new, shown = gates.chunk(4, 1)
            added = torch.sigmoid(taken) * torch.tanh(new)
            state = added if state is None else torch.sigmoid(kept) * state + added
            output = torch.sigmoid(shown) * torch.tanh(state)
        return self.fc(output)


NET = Net(
    published=Size(TextLSTM, ((1, 50, 64),)),
    small=Size(partial(TextLSTM, 6, 5, 3), ((1, 4, 6),)),
    beside=("embedding.",),
)
