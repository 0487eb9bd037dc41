"""Evaluation: accuracy and loss of a model on a split, and how many of its outputs are not numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tacit.codesign.data.batches import batches
from tacit.codesign.data.sets import Data, Split, check_labels
from tacit.codesign.training.devices import device_of, evaluating
from tacit.errors import InvalidInput

__all__ = ["Scores", "evaluate", "logits_of"]


@dataclass(frozen=True)
class Scores:
    """`top1` is the share classified correctly, 0 ... 1; `loss` the mean cross-entropy; `non_finite` counts the logits
    that are not finite, whose examples count as wrong; `examples` how many there were."""

    top1: float
    loss: float
    non_finite: int
    examples: int


def evaluate(model: nn.Module, split: Split, data: Data, *, batch: int = 256, device: str = "auto") -> Scores:
    """The scores of a model in evaluation mode on a split, whose images are normalised as `data` says.

    The model stays where it is ("auto") or is moved to `device`; its modes are left as they were.

    Raises:
        InvalidInput: the split is empty, the device is absent, a label is out of range, `batch` is below 1, or the
            model does not take the images or gives other than (N, classes) logits.
    """
    if batch < 1:
        raise InvalidInput(f"a batch has 1 example or more, and not {batch}")
    if not len(split):
        raise InvalidInput(f"this split of {data.name} is empty, so there is nothing to evaluate on")
    where = device_of(model, device)
    model.to(where)
    total = torch.zeros(3, dtype=torch.float64)
    with evaluating(model):
        for x, y in batches(split, torch.arange(len(split)), batch):
            check_labels(y, data.classes)
            logits = logits_of(model, x.to(where), data)
            total += _sums(logits.float().cpu(), y)
    hits, loss, non_finite = total.tolist()
    return Scores(hits / len(split), loss / len(split), int(non_finite), len(split))


def logits_of(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """The logits, (N, classes), of images x of (N, C, H, W) in [0, 1].

    Raises:
        InvalidInput: the model cannot take the images, or gives another shape; says both shapes.
    """
    count, classes = len(x), data.classes
    try:
        logits = model(data.normalise(x))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(f"the model cannot take {data.name}'s images of {tuple(x.shape[1:])}: {reason}") from error
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if found != (count, classes):
        raise InvalidInput(
            f"the model gives {found} for {count} images, and the data set has {classes} classes; "
            f"its last layer must give ({count}, {classes})"
        )
    assert isinstance(logits, Tensor)
    return logits


def _sums(logits: Tensor, y: Tensor) -> Tensor:
    """Correct answers, summed loss and logits that are not finite, float64 of (3,)."""
    finite = logits.isfinite()
    right = (logits.argmax(1) == y) & finite.all(1)
    loss = functional.cross_entropy(logits, y, reduction="none").double().sum()
    return torch.stack([right.sum().double(), loss, (~finite).sum().double()])
