"""An LSTM that classifies a text of 50 words (Hochreiter and Schmidhuber, Neural Computation 1997; Dai and Le, NIPS
2015).

The client looks the words up (`LookUp`), whose table is public to it.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

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
    """Words' vectors (N, T, width) to logits (N, classes), from the last state of `hidden` numbers."""

    def __init__(self, width: int = 64, hidden: int = 64, classes: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        _, (last, _) = self.lstm(x)
        return self.fc(last[-1])


NET = Net(
    published=Size(TextLSTM, ((1, 50, 64),)),
    small=Size(partial(TextLSTM, 6, 5, 3), ((1, 4, 6),)),
    beside=("embedding.",),
)
