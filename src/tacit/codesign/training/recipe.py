"""Recipe: every number of a training run but the data and the objective."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from tacit.errors import InvalidInput

__all__ = ["Recipe"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Stochastic gradient descent with momentum: linear warm-up of the learning rate, then a cosine to 0.

    Epochs, `batch` and `warmup_epochs` are counts; `warmup_start` is the share of `lr` at the first step. `clip_norm`
    bounds the Euclidean norm of all gradients together. With `decay_norms` False, weight decay leaves out parameters of
    one axis (biases, norms). `device` is a PyTorch device or "auto": a GPU if there is one. `mixed` computes forward
    passes in a shorter type by autocast. `threads` is how many threads PyTorch uses on the CPU (None: as it is).

    Raises:
        InvalidInput: a number is out of its range.
    """

    epochs: int
    lr: float
    batch: int = 128
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    decay_norms: bool = True
    warmup_epochs: int = 5
    warmup_start: float = 0.01
    clip_norm: float | None = None
    augment: bool = True
    seed: int = 0
    device: str = "auto"
    mixed: Literal["bf16", "fp16"] | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs is at least 1", self.epochs)
        _require(0 < self.lr < math.inf, "lr, the learning rate, is positive", self.lr)
        _require(self.batch >= 1, "batch is at least 1", self.batch)
        _require(0 <= self.momentum < 1, "momentum is in [0, 1)", self.momentum)
        _require(self.momentum > 0 or not self.nesterov, "nesterov needs a momentum above 0", self.momentum)
        _require(0 <= self.weight_decay < math.inf, "weight_decay is at least 0", self.weight_decay)
        _require(
            0 <= self.warmup_epochs < self.epochs,
            f"warmup_epochs leaves at least one of {self.epochs} epochs",
            self.warmup_epochs,
        )
        _require(0 < self.warmup_start <= 1, "warmup_start is a share of lr, in (0, 1]", self.warmup_start)
        _require(self.clip_norm is None or self.clip_norm > 0, "clip_norm is positive or None", self.clip_norm)
        _require(self.mixed in (None, "bf16", "fp16"), "mixed is None, 'bf16' or 'fp16'", self.mixed)
        _require(self.threads is None or self.threads >= 1, "threads is at least 1 or None", self.threads)

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with some fields changed. Raises InvalidInput as the constructor does, or for no field."""
        unknown = changes.keys() - {field.name for field in dataclasses.fields(self)}
        if unknown:
            raise InvalidInput(f"a recipe has no {', '.join(sorted(unknown))}")
        return dataclasses.replace(self, **changes)

    def lr_at(self, epochs: float) -> float:
        """The learning rate after `epochs` epochs, which may be a fraction: the published schedule, made continuous."""
        if epochs < self.warmup_epochs:
            return self.lr * (self.warmup_start + (1 - self.warmup_start) * epochs / self.warmup_epochs)
        passed = (epochs - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.lr * (1 + math.cos(math.pi * min(passed, 1.0))) / 2

    def identity(self) -> dict[str, Any]:
        """The fields that decide the result, for a checkpoint to compare: all but device and threads."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in {"device", "threads"}}


def _require(holds: bool, rule: str, value: object) -> None:
    if not holds:
        raise InvalidInput(f"{rule}, and not {value!r}; change the recipe")
