"""The greeting: it names the side and the field that differ, on both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tacit.errors import Mismatch, PeerError, TacitError
from tacit.net.channel import Channel
from tacit.net.memory import pair
from tacit.plan.plan import FORMAT
from tacit.ring import native
from tacit.run.handshake import PROTOCOL, Ask, Hello, Role, greet
from tacit.run.simulate import together

SAME = {"protocol": PROTOCOL, "plan_format": FORMAT, "kernels": native.version()}


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except TacitError as error:
        return error


def greeted(ours: tuple[Role, tuple[Role, ...]], theirs: Callable[[Channel], object]) -> tuple[object, object]:
    """What greeting gave on our side, and what `theirs` did or gave at the other end."""
    here, there = pair()
    with here, there:
        return together(lambda: outcome(lambda: greet(here, *ours)), lambda: outcome(lambda: theirs(there)))


@pytest.mark.parametrize(
    ("field", "name"),
    [("protocol", "protocol version"), ("plan_format", "plan format"), ("kernels", "kernel version")],
)
def test_versions(field: str, name: str) -> None:
    hello = Hello(role="server", **{**SAME, field: 77})
    error, _ = greeted(("client", ("server",)), lambda channel: channel.send_message(hello))
    assert isinstance(error, Mismatch)
    assert (error.side, error.field, error.ours, error.theirs) == ("server", name, SAME[field], 77)
    assert str(error) == f"the server has a different {name}: 77 there, {SAME[field]} here"


def test_both_sides_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parties of different versions: each raises its own, with the values the right way round."""

    def newer(channel: Channel) -> object:
        channel.send_message(Hello(role="server", protocol=PROTOCOL + 1, plan_format=FORMAT, kernels=native.version()))
        theirs = channel.recv_message(Hello)
        return theirs.protocol

    error, seen = greeted(("client", ("server",)), newer)
    assert isinstance(error, Mismatch)
    assert seen == PROTOCOL


@pytest.mark.parametrize(("mine", "theirs"), [("client", "dealer"), ("client", "client"), ("server", "server")])
def test_roles(mine: Role, theirs: Role) -> None:
    expected: tuple[Role, ...] = ("server",) if mine == "client" else ("client",)
    error, _ = greeted((mine, expected), lambda channel: channel.send_message(Hello(role=theirs, **SAME)))
    assert isinstance(error, Mismatch)
    assert (error.field, error.theirs) == ("role", theirs)


def test_agreement() -> None:
    assert greeted(("client", ("server",)), lambda c: greet(c, "server", ("client",))) == ("server", "client")


def test_something_else_than_hello() -> None:
    error, _ = greeted(("client", ("server",)), lambda channel: channel.send_message(Ask(plan="", epoch=0)))
    assert isinstance(error, PeerError)
