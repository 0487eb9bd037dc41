"""One run's moving parts: model, optimiser, scaler; a step of gradient descent, and the guard against divergence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from tacit.codesign.data.augment import augment
from tacit.codesign.data.sets import Data
from tacit.codesign.seeding import derive, generator
from tacit.codesign.training.devices import autocast, scaler
from tacit.codesign.training.objective import Objective
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput, TrainingDiverged

__all__ = ["Stepper"]

#: A loss scale below this means that gradients overflow whatever the scale.
_SMALLEST_SCALE = 2.0**-10


class Stepper:
    """Gradient descent on `objective` with the numbers of `recipe`; every step's draws depend on its place alone.

    Raises:
        InvalidInput: the model has no parameter to train.
    """

    def __init__(
        self, model: nn.Module, data: Data, recipe: Recipe, objective: Objective, device: torch.device
    ) -> None:
        self.model, self.data, self.recipe = model, data, recipe
        self.objective, self.device = objective, device
        groups = [
            {"factor": 1.0, **group, "params": list(group["params"])}
            for group in objective.groups(model) or _groups(model, recipe)
        ]
        self.parameters = [p for group in groups for p in group["params"]]
        if not self.parameters:
            raise InvalidInput("the model has no parameter that requires a gradient, so there is nothing to train")
        self.optimizer = torch.optim.SGD(
            groups,
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
        self.scaler = scaler(recipe.mixed, device)

    def step(self, x: Tensor, y: Tensor, epoch: int, number: int, steps: int) -> float:
        """Step `number` of `steps` of an epoch, on images x of [0, 1] and labels y; returns the loss.

        Raises:
            TrainingDiverged: the loss or a gradient is not finite; parameters are as before the step.
        """
        recipe = self.recipe
        torch.manual_seed(derive(recipe.seed, "step", epoch, number))
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * recipe.lr_at(epoch + number / steps)
        x, y = x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)
        if recipe.augment:
            x = augment(x, generator(recipe.seed, "augment", epoch, number), flip=self.data.flip)
        with autocast(recipe.mixed, self.device):
            loss = self.objective.loss(self.model, self.data.normalise(x), y)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        value, norm = torch.stack([loss.detach().float(), self._norm()]).tolist()
        self._guard(value, norm, epoch, number)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of model, optimiser, scaler and objective."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "objective": self.objective.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.objective.restore(state["objective"])

    def _norm(self) -> Tensor:
        """The norm of all gradients together, before they are clipped."""
        if self.recipe.clip_norm is not None:
            return clip_grad_norm_(self.parameters, self.recipe.clip_norm).float()
        return get_total_norm([p.grad for p in self.parameters if p.grad is not None]).float()

    def _guard(self, loss: float, norm: float, epoch: int, number: int) -> None:
        """fp16's scaler leaves out steps whose gradients overflow and lowers its scale, so those pass for a while."""
        scaled = self.scaler.is_enabled() and self.scaler.get_scale() > _SMALLEST_SCALE
        if math.isfinite(loss) and (math.isfinite(norm) or scaled):
            return
        what = "loss" if not math.isfinite(loss) else "gradient"
        lr = self.recipe.lr_at(epoch)
        raise TrainingDiverged(
            f"the {what} became {loss if what == 'loss' else norm} in epoch {epoch + 1}, step {number + 1}, at "
            f"learning rate {lr:.3g}; lower lr, warm up longer or set clip_norm, and with polynomial activations widen "
            "their interval or strengthen the range penalty"
        )


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    trained = [p for p in model.parameters() if p.requires_grad]
    if recipe.decay_norms:
        return [{"params": trained}]
    flat = {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0}
    return [group for group in ({"params": [p for p in trained if p.dim() > 1]}, flat) if group["params"]]
