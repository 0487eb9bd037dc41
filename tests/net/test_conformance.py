"""Every transport passes the published suite."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tacit.net import keys, memory, tcp, tls
from tacit.net.channel import Channel
from tacit.net.party import Party
from tacit.net.shaper import LAN, Link, shape
from tacit.net.sockets import SocketTransport
from tacit.testing.channels import CHECKS, Check, MakePair, check_channel

KINDS = ["memory", "socketpair", "tcp", "tls", "shaped-memory", "shaped-tls"]


def both_ends(accept: Callable[[], Channel], connect: Callable[[], Channel]) -> tuple[Channel, Channel]:
    """Runs the two halves of a handshake side by side."""
    got: list[Channel] = []
    thread = threading.Thread(target=lambda: got.append(accept()))
    thread.start()
    ours = connect()
    thread.join()
    return ours, got[0]


def shaped(make: MakePair, link: Link) -> MakePair:
    def make_pair() -> tuple[Channel, Channel]:
        left, right = make()
        return shape(left, link), shape(right, link)

    return make_pair


def socket_pair() -> tuple[Channel, Channel]:
    left, right = socket.socketpair()
    return Channel(SocketTransport(left, Party("right"))), Channel(SocketTransport(right, Party("left")))


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MakePair]]:
    homes: tuple[Path, Path] = tmp_path_factory.mktemp("client"), tmp_path_factory.mktemp("server")
    for home, name in zip(homes, ("client", "server"), strict=True):
        keys.make_identity(home, name)
    keys.enrol(homes[0], homes[1] / "certificate.pem", "server")
    keys.enrol(homes[1], homes[0] / "certificate.pem", "client")
    with tcp.Listener(port=0) as plain, tls.Listener(homes[1], port=0) as secure:
        made: dict[str, MakePair] = {
            "memory": memory.pair,
            "socketpair": socket_pair,
            "tcp": lambda: both_ends(lambda: plain.accept(5.0), lambda: tcp.connect(plain.address)),
            "tls": lambda: both_ends(lambda: secure.accept(5.0), lambda: tls.connect(secure.address, homes[0])),
        }
        made["shaped-memory"] = shaped(memory.pair, LAN)
        made["shaped-tls"] = shaped(made["tls"], LAN)
        yield made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.strip("_"))
def test_conforms(makers: dict[str, MakePair], kind: str, check: Check) -> None:
    check(makers[kind])


def test_the_suite_runs_whole() -> None:
    check_channel(memory.pair)


def test_the_suite_can_fail() -> None:
    """A pair that is not connected, and one that corrupts a byte, do not pass."""

    class Flipped(memory.MemoryTransport):
        def recv_into(self, view: memoryview) -> int:
            count = super().recv_into(view)
            if count:
                view[count - 1] ^= 1
            return count

    def corrupting() -> tuple[Channel, Channel]:
        left, right = memory.transports()
        left.__class__ = Flipped
        right.__class__ = Flipped
        return Channel(left), Channel(right)

    failures = 0
    for check in CHECKS:
        try:
            check(corrupting)
        except Exception:
            failures += 1
    assert failures >= len(CHECKS) // 2
