"""Budgets of a search: what is left of a cell that costs too much, and whether a cell may be the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tacit.codesign.cryptonas.latency import Bills, LatencyModel
from tacit.codesign.cryptonas.space import Cell
from tacit.errors import InvalidInput

__all__ = ["Budget", "LatencyBudget", "ReluBudget"]


class Budget(Protocol):
    """What a search may spend on one private inference."""

    def seconds(self, cell: Cell) -> float | None:
        """Predicted seconds of the cell's compiled plan, where the budget is about them."""
        ...

    def holds(self, cell: Cell) -> bool:
        """Whether `cell` may be the search's answer."""
        ...

    def trimmed(self, cell: Cell) -> Cell:
        """What is left of the cell within the budget: what is trained and rewarded wherever `cell` is drawn."""
        ...

    def identity(self) -> dict[str, object]:
        """What a resumed search must find unchanged, as JSON data."""
        ...


@dataclass(frozen=True)
class ReluBudget:
    """At most `relus` ReLUs: every cell of a balanced space has the same, so that they decide the width alone.

    The width is `Space.width_within(relus)`.
    """

    relus: int

    def seconds(self, cell: Cell) -> float | None:
        """None: this budget does not compile."""
        return None

    def holds(self, cell: Cell) -> bool:
        """True."""
        return True

    def trimmed(self, cell: Cell) -> Cell:
        """The cell: every cell holds."""
        return cell

    def identity(self) -> dict[str, object]:
        """The kind alone: the number decides the width that the found cell is trained at, not the search."""
        return {"budget": "relus"}


@dataclass(frozen=True)
class LatencyBudget:
    """At most `limit` seconds a private inference, by the bill, at the width of `bills.space`.

    A cell that the additive model says takes longer stands for what `trimmed` leaves of it, in the shared child's
    training and in the controller's rewards, so that both know cells within the limit only. The answer of the search
    must keep the limit in its compiled plan, whatever the model said. Raises InvalidInput where no cell does.
    """

    limit: float
    model: LatencyModel
    bills: Bills

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise InvalidInput(f"a latency budget is a positive number of seconds, and not {self.limit!r}")
        least = self.bills.seconds(self.model.cheapest(), self.model.link)
        if least > self.limit:
            raise InvalidInput(
                f"a budget of {self.limit:g} s on {self.model.link} is below the {least:.3g} s of the cheapest cell at "
                f"width {self.bills.space.width}; take a smaller width or fewer layers"
            )

    def seconds(self, cell: Cell) -> float | None:
        """Seconds of the compiled plan."""
        return self.bills.seconds(cell, self.model.link)

    def holds(self, cell: Cell) -> bool:
        """Whether the compiled plan takes no longer than the limit; not compiled where the model says far more."""
        if self.model.seconds(cell) > self.limit * (1 + 2 * self.model.error):
            return False
        return self.bills.seconds(cell, self.model.link) <= self.limit

    def trimmed(self, cell: Cell) -> Cell:
        """The cell less the skips and with the cheapest instead of the operations that cost most, as many as it takes
        until the model says that it holds; the cheapest cell at last.

        Several go at a time, as many as their savings, counted one by one, say are needed; skips of one source
        save more together, so that few rounds do.
        """
        cheapest, target = self.model.cheapest(), self.limit * (1 - self.model.error)
        while (excess := self.model.seconds(cell) - target) > 0 and cell != cheapest:
            savings = [
                (self.model.seconds(cell) - self.model.seconds(_without(cell, cheapest, [edit])), edit)
                for edit in _edits(cell, cheapest)
            ]
            chosen: list[_Edit] = []
            for saved, edit in sorted(savings, key=lambda each: -each[0]):
                chosen.append(edit)
                excess -= max(saved, 0.0)
                if excess <= 0:
                    break
            cell = _without(cell, cheapest, chosen)
        return cell

    def identity(self) -> dict[str, object]:
        """Limit, link and the width that it holds for."""
        return {"budget": "seconds", "limit": self.limit, "link": self.model.link, "at width": self.bills.space.width}


#: A layer, and the source that it skips from no longer; None for its operation, which becomes the cheapest.
_Edit = tuple[int, int | None]


def _edits(cell: Cell, cheapest: Cell) -> list[_Edit]:
    """What can still be left out."""
    skips: list[_Edit] = [(layer, source) for layer, sources in enumerate(cell.skips) for source in sources]
    pairs = enumerate(zip(cell.operations, cheapest.operations, strict=True))
    return [*skips, *((layer, None) for layer, (own, other) in pairs if own != other)]


def _without(cell: Cell, cheapest: Cell, edits: Sequence[_Edit]) -> Cell:
    """The cell with the edits made."""
    gone = set(edits)
    pairs = enumerate(zip(cell.operations, cheapest.operations, strict=True))
    operations = tuple(other if (layer, None) in gone else own for layer, (own, other) in pairs)
    skips = (tuple(s for s in sources if (layer, s) not in gone) for layer, sources in enumerate(cell.skips))
    return Cell(operations, tuple(skips))
