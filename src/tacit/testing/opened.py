"""One evaluation at opened values of one's choice: a word of a protocol through deal and online, with no plan around.

    check = at_masks(relu, {"shift": 3, "ring": 40, ...}, y, masks, ring=9)

The masks of openings are an argument here, so that every mask of a small ring can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.net.memory import pair
from tacit.ring.tensor import centered, mask
from tacit.run.simulate import together
from tacit.secure import labels
from tacit.secure.protocol import load_protocol
from tacit.secure.session import Session, Step
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words

__all__ = ["SITE", "at_masks"]

#: The site of the step that is run.
SITE = 7


def at_masks(
    words: Callable[[Session, Share], Share],
    attrs: Mapping[str, Any],
    y: NDArray[np.int64],
    masks: Words,
    ring: int,
    *,
    protocol: str = "fss",
    seeds: Seeds | None = None,
) -> NDArray[np.int64]:
    """What the program `words` makes of the integers `y`, opened mod 2^ring under `masks` of the same shape.

    The dealer's reading makes both parties' parts, their online readings run at once over a channel in memory. Bits of
    `masks` above the ring are kept where a run has such bits: at the dealer and at the server. `words` must end with
    `mask` (or reveal nothing): the result is that wire's value, signed. `attrs` are the step's, `seeds` fresh unless
    given.
    """
    step = Step(SITE, "gate", (), dict(attrs), protocol, "gate")
    seeds = seeds or Seeds.fresh()
    wire = Wire(y.shape, ring, Fraction(1), "opened")
    opened = y.astype(np.int64).view(np.uint64) + masks + np.uint64(1 << (ring - 2))

    def begun(s: Session) -> Session:
        s.step, s.protocol = step, load_protocol(protocol)
        return s

    def dealt(rank: int) -> dict[str, Any]:
        s = begun(Session("deal", rank, seeds=seeds))
        words(s, Share(wire, masks))
        return dict(s.made)

    channels, parts = pair(), (dealt(CLIENT), dealt(SERVER))
    own = (Seeds(client=seeds.client), Seeds(server=seeds.server))

    def run(rank: int) -> Share:
        s = begun(Session("online", rank, channels[rank], own[rank], parts[rank]))
        return words(s, Share(wire, opened if rank == SERVER else mask(opened, ring)))

    _, server = together(lambda: run(CLIENT), lambda: run(SERVER), channels)
    preset = seeds.of(CLIENT).uniform(labels.MASK, SITE, server.wire.shape, server.wire.ring)
    return centered(server.require() + preset, server.wire.ring)
