"""Wav2Letter: a convolutional acoustic model of letters (Collobert, Puhrsch and Synnaeve, 2016).

Its input are the features of one second of sound, 40 cepstra every 10 ms; the client decodes the letters' scores.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "Wav2Letter"]


class Wav2Letter(nn.Module):
    """(N, features, time) to scores (N, classes, about time / 2); names are torchaudio's; `width` scales channels."""

    def __init__(self, classes: int = 40, features: int = 40, width: float = 1.0, span: int = 32) -> None:
        super().__init__()
        narrow, wide = int(width * 250), int(width * 2000)
        layers: list[nn.Module] = [nn.Conv1d(features, narrow, 48, 2, 23), nn.ReLU()]
        for _ in range(7):
            layers += [nn.Conv1d(narrow, narrow, 7, padding=3), nn.ReLU()]
        layers += [nn.Conv1d(narrow, wide, span, padding=span // 2), nn.ReLU(), nn.Conv1d(wide, wide, 1), nn.ReLU()]
        self.acoustic_model = nn.Sequential(*layers, nn.Conv1d(wide, classes, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """The scores; torchaudio's logarithm of a softmax is left to the client."""
        return self.acoustic_model(x)


NET = Net(
    published=Size(Wav2Letter, ((1, 40, 100),)),
    small=Size(partial(Wav2Letter, 10, 8, 0.032, 8), ((1, 8, 48),)),
)
