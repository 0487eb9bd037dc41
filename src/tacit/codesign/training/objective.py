"""Objective: what a run minimises and how its epochs differ; methods are subclasses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tacit.codesign.data.sets import Data
from tacit.codesign.training.evaluate import Scores
from tacit.codesign.training.recipe import Recipe

__all__ = ["CrossEntropy", "Objective"]


class Objective:
    """What `train` asks of a method. This class is plain cross-entropy; subclasses override what differs.

    The order of calls is `begin`, then for every epoch `epoch` and, for every batch, `loss`, then `end`. A resumed run
    calls `begin`, then `epoch` for every epoch that had begun, and then loads the model's state and `restore`s the
    objective's: what `epoch(model, n)` does to the model's structure must depend on n alone. Parameters that are to be
    trained exist after `begin`. Draws of PyTorch's own generators are repeatable in all of these but `end`.
    """

    def settings(self) -> dict[str, Any]:
        """The numbers that decide the result, for a checkpoint to compare: another's run is not continued."""
        return {}

    def begin(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        """Called once before the first epoch, with the model on its device: hooks are placed here."""

    def epoch(self, model: nn.Module, n: int) -> None:
        """Called before epoch n = 0, 1, ...; schedules are set here."""

    def groups(self, model: nn.Module) -> list[dict[str, Any]] | None:
        """Groups of parameters for SGD (`params`, and by choice `weight_decay` and `factor`, which multiplies the
        learning rate); None for one group of all trainable parameters."""
        return None

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The scalar to minimise for normalised images x of (N, C, H, W) and labels y of (N,)."""
        return functional.cross_entropy(model(x), y)

    def parts(self) -> dict[str, float]:
        """Parts of the last loss, by name, for the progress line and the history."""
        return {}

    def ready(self, n: int) -> bool:
        """Whether the model after epoch n may be selected: False while it is not yet of its final form."""
        return True

    def rank(self, model: nn.Module, scores: Scores) -> tuple[float, ...]:
        """How good the model is, for the selection: the largest tuple wins, the earlier of equal ones."""
        return (-scores.non_finite, scores.top1, -scores.loss)

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold to resume exactly: numbers, strings, tensors, lists and dicts of them."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""

    def end(self, model: nn.Module) -> None:
        """Called once at the end, also after an error: hooks are removed here."""


class CrossEntropy(Objective):
    """Cross-entropy with `label_smoothing` in [0, 1) (Szegedy et al., CVPR 2016, section 7); its part is `top1`."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing
        self._hits: Tensor | None = None

    def settings(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        logits = model(x)
        with torch.no_grad():
            self._hits = (logits.argmax(1) == y).float().mean()
        return functional.cross_entropy(logits, y, label_smoothing=self.label_smoothing)

    def parts(self) -> dict[str, float]:
        return {} if self._hits is None else {"top1": float(self._hits)}
