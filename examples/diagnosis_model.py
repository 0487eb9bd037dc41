"""The diagnosis network: two hidden ReLU layers on thirty raw measurements of a tissue sample; an unmodified MLP."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["INPUTS", "DiagnosisNet", "build_model", "fold_standardisation"]

INPUTS = 30
"""Measurements of one sample."""


class DiagnosisNet(nn.Module):
    """Scores [N, 2], malignant and benign, of measurements [N, 30]: 30 - 32 - 16 - 2 with ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(INPUTS, 32)
        self.hidden2 = nn.Linear(32, 16)
        self.scores = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Score a batch of samples."""
        return self.scores(torch.relu(self.hidden2(torch.relu(self.hidden1(x)))))


@torch.no_grad()
def fold_standardisation(model: DiagnosisNet, mean: Tensor, spread: Tensor) -> None:
    """Turn a model of (x - mean) / spread into the same model of x, in place: W(x - m)/d + b = (W/d)x + (b - (W/d)m).

    `mean` and `spread` are float64 [30]. Whoever asks then sends raw measurements, and learns nothing about the means
    and spreads of the patients that the network was trained on.
    """
    weight = model.hidden1.weight.double() / spread
    model.hidden1.bias.copy_(model.hidden1.bias.double() - weight @ mean)
    model.hidden1.weight.copy_(weight)


def build_model(weights_path: str | Path) -> nn.Module:
    """Load the network from a safetensors file, ready for inference; a wrong or partial file raises an error."""
    model = DiagnosisNet()
    model.load_state_dict(load_file(str(weights_path)))
    return model.eval()
