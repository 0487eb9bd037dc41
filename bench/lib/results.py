"""The results of the benchmarks as the page reads them, and what a target is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Results", "Row", "Target", "at_least", "at_most", "peer_ratio", "peer_row"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """The JSON files by name: `nets`, `kernels`, `activations`, `relu`, `answers`; None where one was not made."""

    nets: Row | None = None
    kernels: Row | None = None
    activations: Row | None = None
    relu: Row | None = None
    answers: Row | None = None

    def cases(self, **wanted: str | None) -> list[Row]:
        """The cases of nets whose net, link, activation and policy are as wanted; all if nothing is."""
        rows: list[Row] = self.nets["nets"] if self.nets else []
        return [row for row in rows if all(v is None or row[k] == v for k, v in wanted.items())]

    def online(
        self, net: str, link: str = "loopback", activation: str = "quartic", policy: str = "auto"
    ) -> float | None:
        """Median online seconds of a case, None if it was not measured."""
        found = self.cases(net=net, link=link, activation=activation, policy=policy)
        return next((row["online"]["median"] for row in found), None)


@dataclass(frozen=True)
class Target:
    """One row: what, how much of it was wanted, what was measured, and whether that is enough (None: not measured)."""

    what: str
    wanted: str
    measured: str
    met: bool | None


def at_most(
    what: str, limit: float, value: float | None, unit: str, scale: float = 1.0, digits: int = 0, note: str = ""
) -> Target:
    """A target that `value` does not exceed `limit`; both are shown times `scale`, `note` after the value."""
    shown = "not measured" if value is None else f"{value * scale:.{digits}f} {unit}".strip() + note
    return Target(what, f"at most {limit * scale:g} {unit}".strip(), shown, None if value is None else value <= limit)


def at_least(what: str, limit: float, value: float | None, unit: str, note: str = "") -> Target:
    """A target that `value` reaches `limit`."""
    shown = "not measured" if value is None else f"{value:.1f} {unit}{note}"
    return Target(what, f"at least {limit:g} {unit}", shown, None if value is None else value >= limit)


def peer_row(results: Results, net: str, link: str, system: str, activation: str, part: str) -> Row | None:
    """A peer's row, None if it was not measured."""
    wanted = {"net": net, "link": link, "system": system, "activation": activation, "part": part}
    rows: list[Row] = results.nets["peers"] if results.nets else []
    return next((row for row in rows if "seconds" in row and all(row[k] == v for k, v in wanted.items())), None)


def peer_ratio(what: str, factor: float, theirs: Row | None, ours: float | None) -> Target:
    """A target that ours is `factor` times as fast as the peer's row, with the peer's scheduling beside it."""
    if theirs is None or ours is None:
        return at_least(what, factor, None, "times as fast")
    note = f" ({theirs['system']} under {theirs['scheduling']} scheduling)"
    return at_least(what, factor, theirs["seconds"] / ours, "times as fast", note)
