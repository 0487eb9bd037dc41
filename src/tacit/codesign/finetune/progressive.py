"""Progressive replacement: exact activations turn into polynomials over the first epochs, all at once or one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from tacit.codesign.data.sets import Data
from tacit.codesign.training.around import Around
from tacit.codesign.training.objective import Objective
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput

__all__ = ["Blend", "Order", "Progressive", "Ramp", "blends", "settle"]

Order = Literal["blend", "site by site", "at once"]


class Blend(nn.Module):
    """(1 - share) exact(x) + share goal(x), of any shape; `share` goes from 0 to 1 while training replaces `exact`.

    The goal is a polynomial or the identity; for a max-pool it is an average.
    """

    def __init__(self, exact: nn.Module, goal: nn.Module, share: float = 0.0) -> None:
        super().__init__()
        self.exact, self.goal, self.share = exact, goal, share

    def forward(self, x: Tensor) -> Tensor:
        """The mixture; whatever has no share in it is not computed."""
        if self.share <= 0:
            return self.exact(x)
        if self.share >= 1:
            return self.goal(x)
        return (1 - self.share) * self.exact(x) + self.share * self.goal(x)


def blends(model: nn.Module) -> dict[str, Blend]:
    """The mixtures of `model` by qualified name, in its own order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Blend)}


def settle(model: nn.Module) -> nn.Module:
    """`model` with each mixture replaced, in place, by its goal."""
    for name in blends(model):
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, model.get_submodule(name).goal)
    return model


@dataclass(frozen=True)
class Ramp:
    """The shares of the goals over a run: from 0 at its start to 1 after `part` of its steps.

    order   "blend": every site grows from 0 to 1 at the same pace
            "site by site": sites follow each other in the model's order, each growing alone
            "at once": goals from the first step

    Raises InvalidInput unless 0 <= part <= 1 and the order is one of these.
    """

    part: float = 0.4
    order: Order = "blend"

    def __post_init__(self) -> None:
        if not 0 <= self.part <= 1:
            raise InvalidInput(
                f"the part of a run that replaces activations is a number from 0 to 1, not {self.part!r}"
            )
        if self.order not in ("blend", "site by site", "at once"):
            raise InvalidInput(f'the order is "blend", "site by site" or "at once", not {self.order!r}')

    def share(self, place: int, count: int, done: float) -> float:
        """The share of the goal at site `place` of `count` when a share `done` of the run's steps is behind."""
        grown = 1.0 if self.order == "at once" or self.part == 0 else min(1.0, done / self.part)
        return min(1.0, max(0.0, grown * count - place)) if self.order == "site by site" else grown

    def apply(self, sites: Mapping[str, Blend], done: float) -> None:
        """Set every site's share."""
        for place, blend in enumerate(sites.values()):
            blend.share = self.share(place, len(sites), done)


class Progressive(Around):
    """`task` while the model's mixtures turn into their goals, a little every step, as `ramp` says.

    Only epochs that began with goals alone may be selected. `about` is what else decides the result, for a checkpoint
    to compare. Raises InvalidInput when the ramp leaves no such
    epoch, and for a model without mixtures.
    """

    def __init__(self, task: Objective, ramp: Ramp, about: Mapping[str, Any] | None = None) -> None:
        super().__init__(task)
        self.ramp, self._about = ramp, dict(about or {})
        self._sites: dict[str, Blend] = {}
        self._epochs = self._steps = 1
        self._epoch = self._step = 0

    def settings(self) -> dict[str, Any]:
        """See Objective."""
        return {**super().settings(), "ramp": self.ramp, **self._about}

    def begin(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        """Find the model's mixtures."""
        self._sites, self._epochs = blends(model), recipe.epochs
        self._steps = max(1, len(data.train) // recipe.batch)
        if not self._sites:
            raise InvalidInput("the model has no activation that is being replaced; fine_tune prepares it")
        if not self.ready(self._epochs - 1):
            raise InvalidInput(
                f"replacing activations over {self.ramp.part:g} of {self._epochs} epochs leaves none without them "
                "at the end; train longer or replace them sooner"
            )
        super().begin(model, data, recipe)

    def epoch(self, model: nn.Module, n: int) -> None:
        """Set the shares that epoch `n` begins with."""
        self._epoch, self._step = n, 0
        self._apply()
        super().epoch(model, n)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The task's loss, with the shares of this step."""
        self._apply()
        self._step += 1
        return super().loss(model, x, y)

    def ready(self, n: int) -> bool:
        """Whether epoch `n` begins with goals alone."""
        finished = self.ramp.order == "at once" or n / self._epochs >= self.ramp.part
        return finished and super().ready(n)

    def state(self) -> dict[str, Any]:
        """The place in the epoch beside the task's state."""
        return {**super().state(), "step": self._step}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._step = int(state["step"])
        self._apply()
        super().restore(state)

    def parts(self) -> dict[str, float]:
        """The task's parts, and how much is replaced on average."""
        shares = [blend.share for blend in self._sites.values()]
        return {**super().parts(), "replaced": sum(shares) / max(1, len(shares))}

    def end(self, model: nn.Module) -> None:
        """Forget the model."""
        self._sites = {}
        super().end(model)

    def _apply(self) -> None:
        self.ramp.apply(self._sites, (self._epoch + self._step / self._steps) / self._epochs)
