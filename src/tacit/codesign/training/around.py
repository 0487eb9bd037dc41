"""Around: an objective that adds to another one, and otherwise does what that one does."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tacit.codesign.data.sets import Data
from tacit.codesign.training.evaluate import Scores
from tacit.codesign.training.objective import CrossEntropy, Objective
from tacit.codesign.training.recipe import Recipe

__all__ = ["Around"]


class Around(Objective):
    """Passes every call on to `task`, by default cross-entropy; subclasses override what they add."""

    def __init__(self, task: Objective | None = None) -> None:
        self.task = task or CrossEntropy()

    def settings(self) -> dict[str, Any]:
        """See Objective; the task's kind and settings."""
        kind = type(self.task)
        return {"task": f"{kind.__module__}.{kind.__qualname__}", "task's settings": self.task.settings()}

    def begin(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        """See Objective."""
        self.task.begin(model, data, recipe)

    def epoch(self, model: nn.Module, n: int) -> None:
        """See Objective."""
        self.task.epoch(model, n)

    def groups(self, model: nn.Module) -> list[dict[str, Any]] | None:
        """See Objective."""
        return self.task.groups(model)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """See Objective."""
        return self.task.loss(model, x, y)

    def parts(self) -> dict[str, float]:
        """See Objective."""
        return self.task.parts()

    def ready(self, n: int) -> bool:
        """See Objective."""
        return self.task.ready(n)

    def rank(self, model: nn.Module, scores: Scores) -> tuple[float, ...]:
        """See Objective."""
        return self.task.rank(model, scores)

    def state(self) -> dict[str, Any]:
        """See Objective; what a subclass adds stands beside the task's under names of its own."""
        return {"task": self.task.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """See Objective."""
        self.task.restore(state["task"])

    def end(self, model: nn.Module) -> None:
        """See Objective."""
        self.task.end(model)
