"""Wire and Share: what is public about a value in flight, and one party's piece of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLIENT", "DEALER", "SERVER", "Preset", "Share", "Wire", "Words"]

CLIENT, SERVER, DEALER = 0, 1, 2

Words = NDArray[np.uint64]

#: How far a share is fixed before the query.
#: "dealt": the client's part is a public local map of masks drawn from its bundle seed;
#: "derived": the client knows its part after priming (a linear layer's output);
#: "raw": neither part is fixed (the result of an evaluation, before it is masked);
#: "opened": not a share but the public value C of an opening;
#: "revealed": in the clear at the client.
Preset = Literal["dealt", "derived", "raw", "opened", "revealed"]


@dataclass(frozen=True)
class Wire:
    """The public half of a value: its shape (batch first), ring bits k, exact scale and preset.

    The integer on the wire is real value x scale, mod 2^k.
    """

    shape: tuple[int, ...]
    ring: int
    scale: Fraction
    preset: Preset

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def packed(self) -> int:
        """Bytes of the value packed to k bits an element."""
        return (self.count * self.ring + 7) // 8


@dataclass(frozen=True)
class Share:
    """One party's piece of a value. `data` is None where this party holds nothing (or holds it elsewhere).

    In the reading "deal" it is the preset (or the opening's mask) that the dealer knows; in "prime" the client's
    preset;
    "online" the party's additive part mod 2^k, in 64-bit words whose bits above k mean nothing.
    """

    wire: Wire
    data: Words | None = field(default=None, repr=False)

    def require(self) -> Words:
        """The payload; a LookupError where this party has none, which is a fault of the program."""
        if self.data is None:
            raise LookupError(f"this party holds no part of a {self.wire.preset} wire of shape {self.wire.shape}")
        return self.data
