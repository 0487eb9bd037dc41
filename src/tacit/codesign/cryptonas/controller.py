"""The controller: an LSTM that draws cells, and REINFORCE, which makes it draw those of high reward.

Source: ENAS (Pham et al., ICML 2018), macro search, with CryptoNAS's settings. Two things differ from the published
code, both on purpose: the skip rate that is held near its target is the rate that is drawn (there the penalty is on
sigmoid(t) where sigmoid(2t) is drawn, which settles at 0.31 for a target of 0.4), and the moving baseline starts at the
first reward instead of at zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tacit.codesign.cryptonas.space import Cell, Space
from tacit.errors import InvalidInput

__all__ = ["Controller", "ControllerSettings", "Draw", "Reinforce", "Step"]

_SPREAD = 0.1  # of the first weights, uniform around zero


@dataclass(frozen=True)
class ControllerSettings:
    """How the controller draws and learns; the defaults are those published.

    hidden            units of the LSTM
    tanh_constant     logits of skips are this times a tanh; those of operations `op_tanh_reduce` times less, so that
                      no choice becomes certain before its reward is known
    entropy_weight    of the entropy of a draw (nats), which is added to its reward
    skip_target       rate of skips that a penalty (Kullback-Leibler, times `skip_weight`) pulls to
    lr                of Adam; gradients are clipped to the norm `clip_norm`
    baseline_decay    of the moving average of rewards
    steps             of the optimiser an epoch, each on `aggregate` draws
    """

    hidden: int = 64
    tanh_constant: float = 1.5
    op_tanh_reduce: float = 2.5
    entropy_weight: float = 1e-4
    skip_target: float = 0.4
    skip_weight: float = 0.8
    lr: float = 1e-3
    clip_norm: float = 5.0
    baseline_decay: float = 0.99
    steps: int = 50
    aggregate: int = 20

    def __post_init__(self) -> None:
        if min(self.hidden, self.steps, self.aggregate) < 1:
            raise InvalidInput("a controller has at least one hidden unit, one step an epoch and one draw a step")
        if not 0 < self.skip_target < 1 or not 0 <= self.baseline_decay < 1:
            raise InvalidInput("the controller's skip_target and baseline_decay lie between 0 and 1")
        if min(self.tanh_constant, self.op_tanh_reduce, self.lr, self.clip_norm) <= 0:
            raise InvalidInput("the controller's tanh_constant, op_tanh_reduce, lr and clip_norm are positive")


@dataclass(frozen=True)
class Draw:
    """A cell as drawn: natural logarithm of its probability (with gradient), entropy of the choices made on the way (in
    nats), and the penalty of their skip rates (with gradient).
    """

    cell: Cell
    log_probability: Any
    entropy: float
    penalty: Any


class Controller(nn.Module):
    """An LSTM that chooses, layer by layer, an operation, then each skip by attention to the layers before."""

    def __init__(self, space: Space, settings: ControllerSettings | None = None) -> None:
        super().__init__()
        self.space, self.settings = space, settings or ControllerSettings()
        hidden = self.settings.hidden
        self.lstm = nn.LSTMCell(hidden, hidden, bias=False)
        self.start = nn.Parameter(torch.empty(1, hidden))
        self.embedding = nn.Parameter(torch.empty(len(space.operations), hidden))
        self.operation = nn.Linear(hidden, len(space.operations), bias=False)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -_SPREAD, _SPREAD)

    def draw(self, generator: torch.Generator | None, count: int = 1) -> list[Draw]:
        """`count` cells, independent of each other; without a generator the most probable choices, one by one."""
        state: Any = None
        start = self.start.expand(count, -1)
        x, anchors, walks = start, start.new_zeros(count, 0, start.shape[1]), _Walks(count, generator, self.start)
        operations, skips = [], []
        for _ in range(self.space.layers):
            state = self.lstm(x, state)
            logits = self._squashed(self.operation(state[0]), self.settings.op_tanh_reduce)
            picked = walks.pick(torch.log_softmax(logits, 1)[:, None])[:, 0]
            operations.append(picked)
            state = self.lstm(self.embedding[picked], state)
            taken = walks.pick(self._skips(anchors, state[0]), self.settings.skip_target)
            skips.append(taken)
            weights = taken.to(x.dtype) / (1 + taken.sum(1, keepdim=True))
            x = (weights[:, :, None] * anchors).sum(1) if anchors.shape[1] else start
            anchors = torch.cat([anchors, state[0][:, None]], 1)
        penalties = walks.penalty / max(self.space.layers - 1, 1)
        return [
            Draw(self._cell(operations, skips, n), walks.log_probability[n], float(walks.entropy[n]), penalties[n])
            for n in range(count)
        ]

    def _cell(self, operations: list[Any], skips: list[Any], n: int) -> Cell:
        names = tuple(self.space.operations[int(picked[n])] for picked in operations)
        return Cell(names, tuple(tuple(torch.nonzero(taken[n]).flatten().tolist()) for taken in skips))

    def _squashed(self, logits: Any, reduce: float = 1.0) -> Any:
        return self.settings.tanh_constant / reduce * torch.tanh(logits)

    def _skips(self, anchors: Any, hidden: Any) -> Any:
        """Logarithms of the probabilities [count, earlier layers, 2] not to take and to take each of them."""
        score = self.score(torch.tanh(self.key(anchors) + self.query(hidden)[:, None]))
        return torch.log_softmax(self._squashed(torch.cat([-score, score], 2)), 2)


class _Walks:
    """What several draws at once add up to: logarithms of their probabilities, entropies, penalties of skip rates."""

    def __init__(self, count: int, generator: torch.Generator | None, like: Any) -> None:
        self._generator = generator
        self.log_probability = like.new_zeros(count)
        self.penalty = like.new_zeros(count)
        self.entropy = torch.zeros(count)

    def pick(self, choices: Any, target: float | None = None) -> Any:
        """An index [count, n] for each of the rows [count, n, options] of logarithms of probabilities.

        With a `target`, the divergence from (1 - target, target) of the probabilities is added to the penalty.
        """
        known = choices.detach()
        if self._generator is None or not known.shape[1]:
            picked = known.argmax(2)
        else:
            rows = torch.multinomial(known.exp().flatten(0, 1), 1, generator=self._generator)
            picked = rows.unflatten(0, known.shape[:2])[:, :, 0]
        self.log_probability = self.log_probability + choices.gather(2, picked[:, :, None]).sum((1, 2))
        self.entropy -= (known.exp() * known).sum((1, 2))
        if target is not None:
            wanted = choices.new_tensor([1 - target, target]).log()
            self.penalty = self.penalty + (choices.exp() * (choices - wanted)).sum((1, 2))
        return picked


@dataclass(frozen=True)
class Step:
    """Means over one step's draws: reward, baseline after the step, entropy (nats), rate of skips."""

    reward: float
    baseline: float
    entropy: float
    skip_rate: float


class Reinforce:
    """The controller's training: a policy gradient with a moving baseline. Williams, Machine Learning 1992."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.baseline: float | None = None
        settings = controller.settings
        self._optimiser = torch.optim.Adam(controller.parameters(), lr=settings.lr, betas=(0.0, 0.999), eps=1e-3)

    def step(self, reward: Callable[[Cell], float], generator: torch.Generator) -> Step:
        """Draw `aggregate` cells, ask for the reward of each, and make those above the baseline more probable."""
        settings, rows = self.controller.settings, []
        loss: Any = 0.0
        self._optimiser.zero_grad()
        for draw in self.controller.draw(generator, settings.aggregate):
            gained = reward(draw.cell) + settings.entropy_weight * draw.entropy
            before = gained if self.baseline is None else self.baseline
            self.baseline = settings.baseline_decay * before + (1 - settings.baseline_decay) * gained
            loss = loss - draw.log_probability * (gained - self.baseline) + settings.skip_weight * draw.penalty
            rows.append((gained, draw.entropy, sum(map(len, draw.cell.skips))))
        (loss / settings.aggregate).backward()
        nn.utils.clip_grad_norm_(self.controller.parameters(), settings.clip_norm)
        self._optimiser.step()
        gains, entropies, skips = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        layers = self.controller.space.layers
        assert self.baseline is not None
        return Step(gains, self.baseline, entropies, skips / (layers * (layers - 1) / 2))

    def state(self) -> dict[str, Any]:
        """Everything that a later run needs to go on exactly: tensors and numbers."""
        states = {"controller": self.controller.state_dict(), "optimiser": self._optimiser.state_dict()}
        return {**states, "baseline": self.baseline}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.controller.load_state_dict(state["controller"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.baseline = state["baseline"]
