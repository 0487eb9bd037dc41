"""Budgets of a search: what a cell's accuracy is worth, and whether the cell may be the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tacit.codesign.cryptonas.latency import Bills, LatencyModel
from tacit.codesign.cryptonas.space import Cell
from tacit.errors import InvalidInput

__all__ = ["Budget", "LatencyBudget", "ReluBudget"]


class Budget(Protocol):
    """What a search may spend on one private inference."""

    def reward(self, accuracy: float, cell: Cell) -> float:
        """What the controller is rewarded for `cell`, whose accuracy (0 to 1) was measured."""
        ...

    def seconds(self, cell: Cell) -> float | None:
        """Predicted seconds of the cell's compiled plan, where the budget is about them."""
        ...

    def holds(self, cell: Cell) -> bool:
        """Whether `cell` may be the search's answer."""
        ...

    def fallback(self) -> tuple[Cell, ...]:
        """Cells that hold, for a search whose controller draws none."""
        ...

    def identity(self) -> dict[str, object]:
        """What a resumed search must find unchanged, as JSON data."""
        ...


@dataclass(frozen=True)
class ReluBudget:
    """At most `relus` ReLUs: every cell of a balanced space has the same, so that they decide the width alone.

    The reward is the accuracy; the width is `Space.width_within(relus)`.
    """

    relus: int

    def reward(self, accuracy: float, cell: Cell) -> float:
        """The accuracy."""
        return accuracy

    def seconds(self, cell: Cell) -> float | None:
        """None: this budget does not compile."""
        return None

    def holds(self, cell: Cell) -> bool:
        """True."""
        return True

    def fallback(self) -> tuple[Cell, ...]:
        """None: every cell holds."""
        return ()

    def identity(self) -> dict[str, object]:
        """The kind alone: the number decides the width that the found cell is trained at, not the search."""
        return {"budget": "relus"}


@dataclass(frozen=True)
class LatencyBudget:
    """At most `limit` seconds a private inference, by the bill, at the width of `bills.space`.

    The reward of a cell that the additive model says takes t seconds is accuracy · min(1, limit / t)^exponent, the soft
    form of Tan et al. (MnasNet, CVPR 2019) with nothing gained below the limit; the answer of the search must hold the
    limit in its compiled plan, whatever the model said. Raises InvalidInput where no cell does.
    """

    limit: float
    model: LatencyModel
    bills: Bills
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if not self.limit > 0 or not self.exponent > 0:
            raise InvalidInput("a latency budget has a positive number of seconds and a positive exponent")
        least = self.bills.seconds(self.model.cheapest(), self.model.link)
        if least > self.limit:
            raise InvalidInput(
                f"a budget of {self.limit:g} s on {self.model.link} is below the {least:.3g} s of the cheapest cell at "
                f"width {self.bills.space.width}; take a smaller width or fewer layers"
            )

    def reward(self, accuracy: float, cell: Cell) -> float:
        """The accuracy, less beyond the limit."""
        return accuracy * min(1.0, self.limit / self.model.seconds(cell)) ** self.exponent

    def seconds(self, cell: Cell) -> float | None:
        """Seconds of the compiled plan."""
        return self.bills.seconds(cell, self.model.link)

    def holds(self, cell: Cell) -> bool:
        """Whether the compiled plan takes no longer than the limit; not compiled where the model says far more."""
        if self.model.seconds(cell) > self.limit * (1 + 2 * self.model.error):
            return False
        return self.bills.seconds(cell, self.model.link) <= self.limit

    def fallback(self) -> tuple[Cell, ...]:
        """The cheapest cell."""
        return (self.model.cheapest(),)

    def identity(self) -> dict[str, object]:
        """Limit, link, exponent and width."""
        width = self.bills.space.width
        return {"budget": "seconds", "limit": self.limit, "link": self.model.link, "at": [width, self.exponent]}
