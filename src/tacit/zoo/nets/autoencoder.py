"""The autoencoder that finds anomalies in the sound of machines (Koizumi et al., DCASE 2020; MLPerf Tiny, Banbury et
al., NeurIPS 2021).

Its input is five frames of 128 mel energies; the client compares the output with it.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "Autoencoder"]


class Autoencoder(nn.Module):
    """(N, features) to the reconstruction (N, features), through a bottleneck of 8."""

    def __init__(self, features: int = 640, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = features
        for outputs in (*(width,) * 4, 8, *(width,) * 4):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, features))

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction."""
        return self.layers(x)


NET = Net(
    published=Size(Autoencoder, ((1, 640),)),
    small=Size(partial(Autoencoder, 32, 16), ((1, 32),)),
)
