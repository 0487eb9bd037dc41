"""Distillation: the student learns the teacher's soft labels and what the teacher has at its activations' inputs."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tacit.codesign.data.sets import Data
from tacit.codesign.pillar import watch
from tacit.codesign.training.objective import Objective
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput

__all__ = ["Distillation", "feature_loss", "soft_loss"]


def soft_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 times the mean over samples of KL(softmax(teacher / T) || softmax(student / T)), for logits of (N, classes).

    Hinton, Vinyals and Dean, 2015: the factor keeps gradients of the same size for every T.
    """
    targets = functional.log_softmax(teacher.float() / temperature, 1)
    given = functional.log_softmax(student.float() / temperature, 1)
    return functional.kl_div(given, targets, reduction="batchmean", log_target=True) * temperature**2


def feature_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over the pairs of values of sum (student - teacher)^2 / sum teacher^2: 0 when equal, 1 for zeros."""
    losses = []
    for ours, theirs in zip(student, teacher, strict=True):
        wanted = theirs.float()
        losses.append((ours.float() - wanted).square().sum() / wanted.square().sum().clamp_min(1e-12))
    return torch.stack(losses).mean()


class Distillation(Objective):
    """(1 - soft) task + soft KL to the teacher's labels at `temperature` + features times the loss of features.

    teacher   a trained net with the student's classes; a copy of it is used, in evaluation mode
    features  weight of the loss between the inputs of the modules that `pairs` names: student's name to teacher's

    The task is cross-entropy with `label_smoothing`. Raises InvalidInput for weights out of range and
    for a module that is not there.
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        soft: float = 0.9,
        temperature: float = 4.0,
        features: float = 0.0,
        pairs: Mapping[str, str] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        if not (0 <= soft <= 1 and temperature > 0 and features >= 0):
            raise InvalidInput(
                f"distillation needs soft in [0, 1], a positive temperature and features of 0 or more, "
                f"not {soft!r}, {temperature!r} and {features!r}"
            )
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
        self.soft, self.temperature, self.features = soft, temperature, features
        self.pairs = dict(pairs or {}) if features else {}
        self._label_smoothing = label_smoothing
        self._last: dict[str, Tensor] = {}

    def settings(self) -> dict[str, Any]:
        """See Objective; teachers differ by their weights."""
        weights = hashlib.sha256()
        for tensor in self.teacher.state_dict().values():
            weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return {
            "soft": self.soft,
            "temperature": self.temperature,
            "features": self.features,
            "pairs": self.pairs,
            "label_smoothing": self._label_smoothing,
            "teacher": weights.hexdigest()[:16],
        }

    def begin(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        """Move the teacher to the model's device. Raises InvalidInput for a pair that names no module."""
        self.teacher.to(next(model.parameters()).device)
        for of, names, which in ((model, self.pairs, "student"), (self.teacher, self.pairs.values(), "teacher")):
            known = dict(of.named_modules())
            if missing := [name for name in names if name not in known]:
                raise InvalidInput(f"the {which} has no module {missing[0]!r} to compare features at")

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The mixed loss of a batch of normalised images and labels, a scalar."""
        own = {name: model.get_submodule(name) for name in self.pairs}
        theirs = {name: self.teacher.get_submodule(name) for name in self.pairs.values()}
        with torch.no_grad(), watch(theirs) as wanted:
            target = self.teacher(x)
        with watch(own) as given:
            logits = model(x)
        hard = functional.cross_entropy(logits.float(), y, label_smoothing=self._label_smoothing)
        soft = soft_loss(logits, target, self.temperature)
        total = (1 - self.soft) * hard + self.soft * soft
        self._last = {"task": hard.detach(), "soft": soft.detach()}
        if self.pairs:
            matched = feature_loss(*_matched(given, wanted, self.pairs))
            self._last["features"] = matched.detach()
            total = total + self.features * matched
        return total

    def parts(self) -> dict[str, float]:
        """The three losses of the last batch before their weights."""
        return {name: float(value) for name, value in self._last.items()}


def _matched(
    given: Sequence[tuple[str, Tensor]], wanted: Sequence[tuple[str, Tensor]], pairs: Mapping[str, str]
) -> tuple[list[Tensor], list[Tensor]]:
    """The last value of each pair, in the order of the pairs."""
    ours, theirs = dict(given), dict(wanted)
    return [ours[name] for name in pairs], [theirs[name] for name in pairs.values()]
