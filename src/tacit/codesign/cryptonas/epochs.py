"""A search between two steps: the shared child, the controller, their optimisers, and an epoch of both."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tacit.codesign.cryptonas.budget import Budget
from tacit.codesign.cryptonas.child import SharedChild
from tacit.codesign.cryptonas.controller import Controller, Reinforce, Step
from tacit.codesign.cryptonas.settings import SearchSettings
from tacit.codesign.cryptonas.space import Cell, Space
from tacit.codesign.data.augment import augment
from tacit.codesign.data.batches import batches
from tacit.codesign.data.sets import Data
from tacit.codesign.seeding import derive, generator
from tacit.codesign.training.devices import autocast, evaluating, scaler
from tacit.codesign.training.progress import Report
from tacit.errors import TrainingDiverged

__all__ = ["EpochReport", "Run"]


@dataclass(frozen=True)
class EpochReport:
    """One epoch: the child's mean loss, then means over the controller's steps (baseline: the last), and seconds."""

    number: int
    loss: float
    reward: float
    baseline: float
    entropy: float
    skip_rate: float
    seconds: float


class Run:
    """The state of a search: `child_steps` and `controller_steps` of epoch len(history) are done.

    Whatever is drawn at a step depends on the seed and the step's place alone.
    """

    def __init__(
        self, space: Space, data: Data, settings: SearchSettings, budget: Budget, device: torch.device, report: Report
    ) -> None:
        self.data, self.settings, self.budget = data, settings, budget
        self.child = SharedChild(space, dropout=settings.dropout).to(device)
        self.reinforce = Reinforce(Controller(space, settings.controller))
        self.history: list[EpochReport] = []
        self._device, self._report = device, report
        self._optimiser = torch.optim.SGD(
            self.child.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay,
        )
        self._scaler = scaler(settings.mixed, device)
        self._losses: list[float] = []
        self._steps: list[Step] = []
        self._seconds = 0.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "history": [asdict(report) for report in self.history],
            "losses": self._losses,
            "steps": [asdict(step) for step in self._steps],
            "child": self.child.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "reinforce": self.reinforce.state(),
            "seconds": self._seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.history = [EpochReport(**entry) for entry in state["history"]]
        self._losses, self._steps = list(state["losses"]), [Step(**entry) for entry in state["steps"]]
        self.child.load_state_dict(state["child"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        self.reinforce.load(state["reinforce"])
        self._seconds = state["seconds"]

    def draw(self, draws: torch.Generator | None) -> Cell:
        """What the budget leaves of a cell of the controller's; of the most probable one without a generator."""
        with torch.no_grad():
            return self.budget.trimmed(self.reinforce.controller.draw(draws)[0].cell)

    def score(self, cell: Cell) -> float:
        """Accuracy of `cell` with the shared weights on all held-out examples, in batches of about equal size."""
        split, hits = self.data.held_out, 0
        count = -(-len(split) // self.settings.batch)
        with evaluating(self.child):
            for x, y in batches(split, torch.arange(len(split)).tensor_split(count)):
                hits += self._hits(x, y, cell)
        return hits / len(split)

    def epoch(self, stop: Callable[[], bool]) -> bool:
        """What is left of an epoch; False if `stop` said so in the middle of it."""
        began = time.perf_counter()
        finished = self._train_child(stop) and self._train_controller(stop)
        self._seconds += time.perf_counter() - began
        if not finished:
            return False
        rows = [(step.reward, step.entropy, step.skip_rate) for step in self._steps]
        reward, entropy, skip_rate = (math.fsum(column) / len(rows) for column in zip(*rows, strict=True))
        loss = math.fsum(self._losses) / len(self._losses)
        baseline = self._steps[-1].baseline
        number = len(self.history)
        self.history.append(EpochReport(number, loss, reward, baseline, entropy, skip_rate, self._seconds))
        self._losses, self._steps, self._seconds = [], [], 0.0
        self._report.line(
            f"{self._label(number)}  loss {loss:.4f}  reward {reward:.4f}  baseline {baseline:.4f}  "
            f"entropy {entropy:.2f}  skips {skip_rate:.2f}"
        )
        return True

    def _label(self, number: int) -> str:
        return f"search epoch {number + 1}/{self.settings.epochs}"

    def _train_child(self, stop: Callable[[], bool]) -> bool:
        settings, number = self.settings, len(self.history)
        order = torch.randperm(len(self.data.train), generator=generator(settings.seed, "order", number))
        parts = order.split(settings.batch)
        if len(parts) > 1 and len(parts[-1]) < settings.batch:
            parts = parts[:-1]
        self.child.train()
        for x, y in batches(self.data.train, parts[len(self._losses) :]):
            place = len(self._losses)
            for group in self._optimiser.param_groups:
                group["lr"] = settings.lr_at(number + place / len(parts))
            self._losses.append(self._child_step(x, y, number, place))
            self._report.step(self._label(number), place + 1, len(parts), {"loss": self._losses[-1]})
            if stop():
                return False
        return True

    def _child_step(self, x: Tensor, y: Tensor, number: int, place: int) -> float:
        """One step on a cell drawn for this batch; the weights that the cell does not use stay as they are."""
        settings = self.settings
        torch.manual_seed(derive(settings.seed, "step", number, place))
        cell = self.draw(generator(settings.seed, "child", number, place))
        x, y = x.to(self._device), y.to(self._device)
        if settings.augment:
            x = augment(x, generator(settings.seed, "augment", number, place), flip=self.data.flip)
        with autocast(settings.mixed, self._device):
            loss = functional.cross_entropy(self.child(self.data.normalise(x), cell), y)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimiser)
        norm = float(nn.utils.clip_grad_norm_(self.child.parameters(), settings.clip_norm))
        value = float(loss.detach())
        if not math.isfinite(value) or not (math.isfinite(norm) or self._scaler.is_enabled()):
            raise TrainingDiverged(
                f"the shared child's loss became {value}, with a gradient of norm {norm}, in epoch {number + 1}, "
                f"step {place + 1}, at learning rate {settings.lr_at(number):.3g}; lower lr"
            )
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return value

    def _train_controller(self, stop: Callable[[], bool]) -> bool:
        settings, number = self.settings, len(self.history)
        while len(self._steps) < settings.controller.steps:
            place = len(self._steps)
            draws = generator(settings.seed, "controller", number, place)
            with evaluating(self.child):
                reward = self._reward(draws)
                with torch.enable_grad():
                    self._steps.append(self.reinforce.step(reward, draws))
            figures = {"reward": self._steps[-1].reward, "entropy": self._steps[-1].entropy}
            self._report.step(f"{self._label(number)}, controller", place + 1, settings.controller.steps, figures)
            if stop():
                return False
        return True

    def _reward(self, draws: torch.Generator) -> Callable[[Cell], float]:
        """What a cell is rewarded: the accuracy of what the budget leaves of it, on a batch of held-out examples."""
        split, size = self.data.held_out, min(self.settings.batch, len(self.data.held_out))

        def reward(cell: Cell) -> float:
            x, y = split.batch(torch.randperm(len(split), generator=draws)[:size])
            with torch.no_grad():
                return self._hits(x, y, self.budget.trimmed(cell)) / size

        return reward

    def _hits(self, x: Tensor, y: Tensor, cell: Cell) -> int:
        """How many of a batch `cell` gets right."""
        with autocast(self.settings.mixed, self._device):
            logits = self.child(self.data.normalise(x.to(self._device)), cell)
        return int((logits.argmax(1) == y.to(self._device)).sum())
