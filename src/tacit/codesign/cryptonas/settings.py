"""SearchSettings: every number of a search but the space, the data and the budget."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tacit.codesign.cryptonas.controller import ControllerSettings
from tacit.errors import InvalidInput

__all__ = ["SearchSettings"]


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How the shared child is trained; the defaults are those published.

    epochs              each: the training examples once, then the controller's steps
    lr, lr_low          the learning rate falls from one to the other by a cosine, over `restart` epochs, then over
                        `restart_factor` times as many, and so on
    momentum            of Nesterov's descent; `weight_decay` of the weights used; `clip_norm` of the gradients
    dropout             probability before the classifier
    candidates          cells that the controller draws at the end; the best of them on all held-out examples is found
    mixed, device, threads   as in a `Recipe`

    Raises InvalidInput.
    """

    epochs: int = 310
    batch: int = 128
    lr: float = 0.05
    lr_low: float = 5e-4
    restart: int = 10
    restart_factor: int = 2
    momentum: float = 0.9
    weight_decay: float = 2.5e-4
    clip_norm: float = 5.0
    dropout: float = 0.1
    augment: bool = True
    candidates: int = 10
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    seed: int = 0
    device: str = "auto"
    mixed: Literal["bf16", "fp16"] | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.restart, self.restart_factor, self.candidates) < 1:
            raise InvalidInput("epochs, batch, restart, restart_factor and candidates of a search are at least 1")
        if not 0 < self.lr_low <= self.lr < math.inf or not self.clip_norm > 0:
            raise InvalidInput("a search has 0 < lr_low <= lr, and a positive clip_norm")
        if not 0 <= self.momentum < 1 or not 0 <= self.dropout < 1 or not self.weight_decay >= 0:
            raise InvalidInput("momentum and dropout of a search are in [0, 1), its weight_decay is not negative")

    def lr_at(self, epochs: float) -> float:
        """The learning rate after `epochs` epochs, which may be a fraction. Loshchilov and Hutter, ICLR 2017."""
        start, length = 0.0, float(self.restart)
        while epochs >= start + length:
            start, length = start + length, length * self.restart_factor
        return self.lr_low + (self.lr - self.lr_low) * (1 + math.cos(math.pi * (epochs - start) / length)) / 2

    def identity(self) -> dict[str, Any]:
        """The fields that decide the result: all but device and threads."""
        return {name: value for name, value in asdict(self).items() if name not in {"device", "threads"}}
