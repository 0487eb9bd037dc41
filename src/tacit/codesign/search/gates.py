"""SNL: learned gates that keep ReLU where it counts, by channel or by pixel (Cho, Joshi, Garg and Hegde, ICML 2022).

Every ReLU becomes c ReLU(x) + (1 - c) x with trained c in [0, 1], whose sum is penalised until few enough remain; then
each gate is set to 0 or 1 and the net learns once more. A gate that is 0 costs no comparison: `Selected` takes the
values that are to be compared out of the tensor and puts them back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tacit.codesign.conversion import convert
from tacit.codesign.data.sets import Data
from tacit.codesign.search.cost import activation_sites
from tacit.codesign.training.around import Around
from tacit.codesign.training.evaluate import Scores
from tacit.codesign.training.loop import Outcome, train
from tacit.codesign.training.objective import CrossEntropy, Objective
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput

__all__ = ["Gate", "GatePenalty", "Gated", "Grain", "Selected", "gated", "gates", "kept", "settle", "snl"]

#: What one gate decides about: a whole channel, or one pixel of one channel.
Grain = Literal["channel", "pixel"]
#: A gate below this counts as closed.
_CLOSED = 1e-2


class Gate(nn.Module):
    """c ReLU(x) + (1 - c) x for x of (N, C, ...), with c of (C, 1, ...) or (C, ...), between 0 and 1, at first 1.

    A step may take the parameter beyond: above 1 it counts as 1 and keeps its gradient, so that the penalty still
    reaches it; below 0 it counts as 0 and stays closed.
    """

    def __init__(self, shape: tuple[int, ...], grain: Grain = "channel") -> None:
        super().__init__()
        if grain not in ("channel", "pixel"):
            raise InvalidInput(f'gates are by "channel" or by "pixel", not {grain!r}')
        size = shape if grain == "pixel" else (shape[0], *(1 for _ in shape[1:]))
        self.c = nn.Parameter(torch.ones(size))
        self.each = 1 if grain == "pixel" else int(torch.Size(shape[1:]).numel())

    def forward(self, x: Tensor) -> Tensor:
        """The gated activation."""
        c = self._within()
        return c * torch.relu(x) + (1 - c) * x

    @property
    def open(self) -> Tensor:
        """Which gates are open, of the shape of c."""
        return self.c.detach() > _CLOSED

    @property
    def count(self) -> int:
        """Comparisons that the open gates cost an input."""
        return int(self.open.sum()) * self.each

    def size(self) -> Tensor:
        """The sum of c, each weighted by the comparisons that it stands for: the penalty's part."""
        return self._within().sum() * self.each

    def _within(self) -> Tensor:
        """c in [0, 1], with the gradient of max(c, 0)."""
        above = self.c.clamp(min=0.0)
        return above + (above.clamp(max=1.0) - above).detach()


class Selected(nn.Module):
    """ReLU at fixed places of x of (N, C, ...), x itself elsewhere: `mask` of (C, 1, ...) or (C, ...), true for ReLU.

    The places are public. Only what is compared is opened and paid for.
    """

    def __init__(self, mask: Tensor, pixels: int = 1) -> None:
        """`pixels`: the values that each entry of `mask` stands for, 1 where it is by pixel."""
        super().__init__()
        flat = mask.reshape(-1).to(torch.bool)
        self.by_channel = flat.numel() == mask.shape[0]
        self.comparisons = int(flat.sum()) * pixels
        places = torch.arange(flat.numel())
        through, past = places[flat], places[~flat]
        self.register_buffer("through", through)
        self.register_buffer("past", past)
        self.register_buffer("back", torch.cat([through, past]).argsort())

    def forward(self, x: Tensor) -> Tensor:
        """The activation."""
        y = x if self.by_channel else x.flatten(1)
        if not self.past.numel():
            return torch.relu(x)
        if not self.through.numel():
            return x
        chosen, other = torch.index_select(y, 1, self.through), torch.index_select(y, 1, self.past)
        joined = torch.cat([torch.relu(chosen), other], 1)
        return torch.index_select(joined, 1, self.back).reshape(x.shape)


def gated(model: nn.Module, example: Tensor, grain: Grain = "channel") -> nn.Module:
    """A copy of `model` with an open gate at every activation site. Raises InvalidInput if one is no ReLU."""
    found = activation_sites(model, example)
    for site in found:
        if site.kind != "relu":
            raise InvalidInput(f"gates are for ReLU, and {site.name} is a {site.kind}; use ReLU there")
    made: dict[str, Callable[[], nn.Module]] = {site.name: _gate_of(site.shape, grain) for site in found}
    return convert(model, example, activation=made, maxpool="keep").model


def _gate_of(shape: tuple[int, ...], grain: Grain) -> Callable[[], nn.Module]:
    return lambda: Gate(tuple(shape), grain)


def gates(model: nn.Module) -> Iterator[tuple[str, Gate]]:
    """The gates of a model, by name."""
    for name, layer in model.named_modules():
        if isinstance(layer, Gate):
            yield name, layer


def kept(model: nn.Module) -> int:
    """Comparisons that the open gates of a model cost an input."""
    return sum(gate.count for _, gate in gates(model))


class GatePenalty(Around):
    """Another objective plus `weight` times the sum of all gates, until `budget` comparisons remain.

    The weight grows by `growth` after every epoch in which no gate closed, as published. Epochs with more comparisons
    than the budget are selected only if none has fewer.
    """

    def __init__(self, task: Objective, budget: int, *, weight: float = 1e-5, growth: float = 1.1) -> None:
        super().__init__(task)
        self.budget, self.weight, self.growth = budget, weight, growth
        self._first, self._last = weight, 0

    def settings(self) -> dict[str, Any]:
        """See Objective."""
        return {**super().settings(), "budget": self.budget, "weight": self._first, "growth": self.growth}

    def begin(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        """See Objective."""
        self._last = kept(model)
        super().begin(model, data, recipe)

    def epoch(self, model: nn.Module, n: int) -> None:
        """The weight grows if nothing closed in the epoch before."""
        now = kept(model)
        if n and now >= self._last and now > self.budget:
            self.weight *= self.growth
        self._last = now
        super().epoch(model, n)

    def groups(self, model: nn.Module) -> list[dict[str, Any]] | None:
        """Gates do not decay: the penalty alone closes them."""
        own = [gate.c for _, gate in gates(model)]
        known = {id(c) for c in own}
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
        return [{"params": others}, {"params": own, "weight_decay": 0.0}]

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The task's loss, and the gates' unless few enough are open."""
        loss = super().loss(model, x, y)
        if kept(model) <= self.budget:
            return loss
        return loss + self.weight * torch.stack([gate.size() for _, gate in gates(model)]).sum()

    def parts(self) -> dict[str, float]:
        """The task's parts, the weight, and how many comparisons remained at the start of the epoch."""
        return {**super().parts(), "gates": float(self._last), "gate_weight": self.weight}

    def rank(self, model: nn.Module, scores: Scores) -> tuple[float, ...]:
        """Within the budget first."""
        return (-float(max(0, kept(model) - self.budget)), *super().rank(model, scores))

    def state(self) -> dict[str, Any]:
        """See Objective."""
        return {**super().state(), "weight": self.weight, "last": self._last}

    def restore(self, state: dict[str, Any]) -> None:
        """See Objective."""
        super().restore(state)
        self.weight, self._last = float(state["weight"]), int(state["last"])


def settle(model: nn.Module, budget: int) -> nn.Module:
    """`model` with every gate replaced by a fixed selection of at most `budget` comparisons: the widest open ones.

    Changes the model in place and returns it.
    """
    found = list(gates(model))
    values = torch.cat([gate.c.detach().reshape(-1) for _, gate in found])
    each = torch.cat([torch.full((gate.c.numel(),), gate.each) for _, gate in found])
    order = values.argsort(descending=True, stable=True)
    within = each[order].cumsum(0) <= budget
    chosen = torch.zeros_like(values, dtype=torch.bool)
    chosen[order[within]] = True
    chosen &= values > _CLOSED
    for (name, gate), mask in zip(found, chosen.split([gate.c.numel() for _, gate in found]), strict=True):
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, Selected(mask.reshape(gate.c.shape), gate.each))
    return model


@dataclass(frozen=True)
class Gated:
    """A net with fixed selections: the trained outcome, comparisons left an input, and those left at each site."""

    outcome: Outcome
    comparisons: int
    sites: dict[str, int]


def snl(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    budget: int,
    *,
    finish: Recipe | None = None,
    grain: Grain = "channel",
    objective: Callable[[], Objective] = CrossEntropy,
    weight: float = 1e-5,
    folder: Path | None = None,
    progress: bool = True,
) -> Gated:
    """From a trained ReLU net to one with at most `budget` comparisons an input.

    recipe      of the run that closes gates; `finish` of the one after they are fixed, by default the same
    objective   makes the loss of each run, such as a distillation from `model`
    folder      holds the checkpoints of both runs, which resume

    `model` is not changed. Raises InvalidInput for a budget that is negative, and what `train` raises.
    """
    if budget < 0:
        raise InvalidInput(f"a budget of comparisons is 0 or more, not {budget}")
    x, _ = data.train.batch([0])
    learning = gated(model, data.normalise(x), grain)
    first = train(
        learning,
        data,
        recipe,
        objective=GatePenalty(objective(), budget, weight=weight),
        folder=folder / "gates" if folder else None,
        progress=progress,
    )
    fixed = settle(first.model.cpu(), budget)
    where = folder / "finish" if folder else None
    outcome = train(fixed, data, finish or recipe, objective=objective(), folder=where, progress=progress)
    left = {n: layer.comparisons for n, layer in outcome.model.named_modules() if isinstance(layer, Selected)}
    return Gated(outcome, sum(left.values()), left)
