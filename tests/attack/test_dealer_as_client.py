"""The server knows its dealer's certificate, so the dealer could call it as a client: D and A together are W."""

from __future__ import annotations

import numpy as np
import pytest

from tacit.errors import NotPermitted
from tacit.net.channel import Channel
from tacit.plan.compile import integer_weights
from tacit.plan.plan import Plan
from tacit.ring import bits
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.handshake import Ask, Opened, greet
from tacit.run.register import difference_wire, receive_differences
from tacit.service.home import registration_for
from tacit.testing.parties import House, identity


def stolen(house: House, plan: Plan, channel: Channel) -> dict[int, np.ndarray]:
    """Every layer's weights mod 2^k, from D and the dealer's own registration seed."""
    seed = Seed(house.dealer.home.registrations().seed(registration_for("seed", plan, identity("server"))))
    matrices, parts = material.matrices(plan, seed), {}
    sites = material.masked_sites(plan)
    receive_differences(channel, plan, sites, lambda site, data, _: parts.update({site: bytes(data)}))
    out = {}
    for site in sites:
        wire = difference_wire(plan, site)
        words = bits.unpack(parts[site], wire.ring, wire.shape) + matrices[site, "weight"]
        out[site] = words & np.uint64((1 << wire.ring) - 1)
    return out


def opened(house: House, caller: str) -> Channel:
    channel = house.dial(caller, "server")
    greet(channel, "client", ("server",))
    channel.send_message(Ask(plan="", epoch=0))
    channel.recv_message(Opened)
    return channel


def test_the_dealer_may_not_be_a_client(house: House) -> None:
    with pytest.raises(NotPermitted, match="dealer"):
        opened(house, "dealer")


def test_why(house: House, plan: Plan) -> None:
    """The attack itself, by a dealer that colludes with a client (which no protocol of this kind can prevent)."""
    with opened(house, "client") as channel:
        found = stolen(house, plan, channel)
    weights = integer_weights(plan)
    for site, words in found.items():
        ring = np.uint64((1 << plan.wires[site].ring) - 1)
        assert np.array_equal(words, weights[site, "weight"] & ring)
