"""Kernel: one operation of one protocol. A leaf has a meaning in every reading; a composite only calls leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tacit.secure.cost import Cost
from tacit.secure.share import Share, Wire

if TYPE_CHECKING:
    from tacit.corr.demand import Demand
    from tacit.secure.session import Session

__all__ = ["Composite", "Leaf", "correlated", "kernel"]

Body = Callable[..., Share]
Composite = Callable[..., Share]


@dataclass(frozen=True)
class Leaf:
    """A leaf kernel. `out` and `cost` see wires only; `deal`, `prime` and `online` see payloads.

    Each takes the Session first, then the operands. Calling the leaf runs the session's reading of it.
    """

    name: str
    out: Callable[..., Wire]
    cost: Callable[..., Cost]
    deal: Body
    prime: Body
    online: Body

    def __call__(self, s: Session, *operands: Share) -> Share:
        return s.read(self, operands)


def kernel(
    name: str,
    *,
    out: Callable[..., Wire],
    cost: Callable[..., Cost],
    deal: Body,
    prime: Body | None = None,
) -> Callable[[Body], Leaf]:
    """Declare a leaf; the decorated function is its online meaning. Without `prime`, priming knows its wire alone."""

    def wire(s: Session, *operands: Share) -> Share:
        return Share(out(s, *_wires(operands)))

    def declare(online: Body) -> Leaf:
        return Leaf(name, out, cost, deal, prime or wire, online)

    return declare


def correlated(
    name: str,
    *,
    out: Callable[..., Wire],
    demand: Callable[..., Demand],
    cost: Callable[..., Cost] | None = None,
) -> Callable[[Body], Leaf]:
    """Declare a leaf that turns opened values into additive parts by one correlation of their masks: nothing is sent,
    and nothing but the correlation is made ahead. `demand` sees the operands' wires; `cost` is that of dealing it if
    absent. The decorated function is its online meaning.
    """

    def dealing(s: Session, *wires: Wire) -> Cost:
        return Cost.dealt([demand(s, *wires)])

    def deal(s: Session, *masks: Share) -> Share:
        s.demand(demand(s, *_wires(masks)), *(x.require() for x in masks))
        return Share(out(s, *_wires(masks)))

    return kernel(name, out=out, cost=cost or dealing, deal=deal)


def _wires(shares: tuple[Share, ...]) -> tuple[Wire, ...]:
    return tuple(x.wire for x in shares)
