"""Kernel: one operation of one protocol. A leaf has a meaning in every reading; a composite only calls leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tacit.secure.cost import Cost
from tacit.secure.share import Share, Wire

if TYPE_CHECKING:
    from tacit.secure.session import Session

__all__ = ["Composite", "Leaf", "kernel"]

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
    name: str, *, out: Callable[..., Wire], cost: Callable[..., Cost], deal: Body, prime: Body
) -> Callable[[Body], Leaf]:
    """Declare a leaf; the decorated function is its online meaning."""

    def declare(online: Body) -> Leaf:
        return Leaf(name, out, cost, deal, prime, online)

    return declare
