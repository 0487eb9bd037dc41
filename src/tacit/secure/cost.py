"""Cost: what one kernel sends, stores and computes, per phase and party; known before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from tacit.corr.demand import Demand
from tacit.net.frame import HEADER_BYTES

__all__ = ["PHASES", "Cost", "Message", "Phase"]

Phase = Literal["register", "deal", "prime", "online"]
PHASES: tuple[Phase, ...] = ("register", "deal", "prime", "online")


@dataclass(frozen=True)
class Message:
    """One data frame: in which phase, from which rank to which (2 is the dealer), with how many payload bytes."""

    phase: Phase
    sender: int
    receiver: int
    payload: int

    @property
    def bytes(self) -> int:
        """Bytes of the frame above TLS, header included."""
        return self.payload + HEADER_BYTES


@dataclass(frozen=True)
class Cost:
    """What one leaf kernel costs. `macs` are multiply-accumulates of the server's work, `client_macs` of the client's,
    `evaluations` are activations evaluated (by each party), `failure` bounds the probability that this step is
    grossly wrong.
    """

    messages: tuple[Message, ...] = ()
    demands: tuple[Demand, ...] = ()
    macs: int = 0
    evaluations: int = 0
    failure: float = 0.0
    kept: tuple[tuple[int, int], ...] = field(default=())  # (rank, bytes) stored by priming
    client_macs: int = 0

    @staticmethod
    def dealt(demands: Iterable[Demand]) -> Cost:
        """The cost of being dealt `demands`: one frame for each part that must be stored."""
        demands = tuple(demands)
        messages = tuple(Message("deal", 2, rank, d.stored(rank)) for d in demands for rank in (0, 1) if d.stored(rank))
        return Cost(messages=messages, demands=demands)

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.messages + other.messages,
            self.demands + other.demands,
            self.macs + other.macs,
            self.evaluations + other.evaluations,
            self.failure + other.failure,
            self.kept + other.kept,
            self.client_macs + other.client_macs,
        )
