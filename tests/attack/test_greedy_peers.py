"""Peers that ask for the same again and again in one request."""

from __future__ import annotations

import pytest

from tacit.errors import PeerRefused
from tacit.plan.plan import Plan
from tacit.run import material
from tacit.run.handshake import Ask, Fetch, Opened, Register, Registered, greet
from tacit.testing.parties import House


def test_one_step_a_thousand_times(house: House, plan: Plan) -> None:
    """A message of kilobytes must not make the server send gigabytes."""
    site = material.masked_sites(plan)[0]
    with house.dial("client", "server") as channel:
        greet(channel, "client", ("server",))
        channel.send_message(Ask(plan="", epoch=0))
        channel.recv_message(Opened)
        channel.send_message(Register(sites=[site] * 1000))
        with pytest.raises(PeerRefused, match="twice"):
            channel.recv_message(Registered)


def test_one_bundle_a_thousand_times(house: House) -> None:
    with house.dial("server", "dealer") as channel:
        greet(channel, "server", ("dealer",))
        channel.send_message(Fetch(bundles=[bytes(16)] * 1000))
        with pytest.raises(PeerRefused, match="twice"):
            channel.recv_data(16)
