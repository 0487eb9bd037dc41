"""The three calls behind `tacit serve`, `tacit deal` and `tacit query`: homes, addresses and certificates in,
objects out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tacit.errors import InvalidInput
from tacit.net import tcp, tls
from tacit.net.channel import Channel
from tacit.net.keys import load_identity, peers
from tacit.net.shaper import LOOPBACK, Link, parse_link, shape
from tacit.plan.plan import Plan
from tacit.plan.policy import ClientPolicy
from tacit.plan.save import load_plan
from tacit.run.dealing import NOBODY
from tacit.run.handshake import Role, greet
from tacit.run.stream import WARM_BYTES
from tacit.service.client import Client
from tacit.service.dealer import Dealer, Progress
from tacit.service.home import Home
from tacit.service.listen import Limits, Service
from tacit.service.server import Server

__all__ = ["Running", "connect", "deal", "serve"]


class Running:
    """A server or dealer that accepts peers in the background. Used in a `with` statement it stops at the end."""

    def __init__(self, party: Server | Dealer, service: Service) -> None:
        self.party, self.service = party, service

    @property
    def address(self) -> str:
        """Where it listens, as `tacit://host:port`."""
        return str(self.service.address)

    def run(self) -> None:
        """Accept peers in this thread until interrupted."""
        try:
            self.service.run()
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop accepting, close all connections, release the store."""
        self.service.stop()
        self.party.close()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _link(link: str | Link) -> Link:
    return parse_link(link) if isinstance(link, str) else link


def _dialler(home: Path | None, address: str, expect: str, link: Link, role: Role | None) -> Callable[[], Channel]:
    """A function that opens a channel to the party enrolled as `expect`; greeted as `role` if one is given."""

    def dial() -> Channel:
        channel = tcp.connect(address) if home is None else tls.connect(address, home, expect=expect)
        shape(channel, link).set_timeout(120.0)
        if role is not None:
            greet(channel, role, ("dealer",))
        return channel

    return dial


def _plans(plans: Plan | str | Path | Sequence[Plan | str | Path]) -> list[Plan]:
    listed = [plans] if isinstance(plans, (Plan, str, Path)) else list(plans)
    return [p if isinstance(p, Plan) else load_plan(p) for p in listed]


def serve(
    plans: Plan | str | Path | Sequence[Plan | str | Path],
    *,
    home: str | Path,
    dealer: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7070,
    threads: int = 2,
    quota_gib: float = 64.0,
    warm_bytes: int = WARM_BYTES,
    limits: Limits | None = None,
    link: str | Link = LOOPBACK,
    dealer_name: str = "dealer",
    insecure_plaintext: bool = False,
) -> Running:
    """Serve owner's plans (or .tacit files) to enrolled clients, in background threads.

    home                the server's home, with its certificate and its peers'
    dealer              the dealer's address; needed for every plan that trusts one
    dealer_name         the name under which the dealer is enrolled in the home
    warm_bytes          how much claimed material is in memory before its runs, of all clients; the rest is read in time
    link                emulate a slower line ("wan", "100mbit/40ms")
    insecure_plaintext  TCP without encryption or certificates: for measurements on one machine only

    Raises InvalidInput (no certificate, port in use, public file), ChannelError (dealer out of reach).
    """
    folder, line = Home.at(home).path, _link(link)
    secure = None if insecure_plaintext else folder
    if secure is not None:
        load_identity(secure)
    call, fingerprint = None, ""
    if dealer is not None:
        fingerprint = NOBODY if secure is None else _fingerprint(secure, dealer_name)
        call = _dialler(secure, dealer, dealer_name, line, "server")
    party = Server(
        folder,
        _plans(plans),
        dealer=fingerprint,
        call=call,
        threads=threads,
        quota_gib=quota_gib,
        limits=limits,
        warm_bytes=warm_bytes,
    )
    return _start(party, secure, host, port, limits, line)


def deal(
    *,
    home: str | Path,
    host: str = "127.0.0.1",
    port: int = 7071,
    threads: int = 1,
    quota_gib: float = 4.0,
    ahead_gib: float = 1.0,
    limits: Limits | None = None,
    link: str | Link = LOOPBACK,
    progress: Progress | None = None,
    insecure_plaintext: bool = False,
) -> Running:
    """Deal material to enrolled servers and clients, in background threads. Arguments as in `serve`.

    ahead_gib  memory for servers' parts that are made together with the clients', before the servers ask
    progress   told of every exchange: with whom, bytes sent, bytes in all; at its end both are equal
    """
    folder = Home.at(home).path
    secure = None if insecure_plaintext else folder
    if secure is not None:
        load_identity(secure)
    if not ahead_gib >= 0:
        raise InvalidInput(f"ahead_gib must be a number of at least 0, not {ahead_gib!r}")
    party = Dealer(folder, threads=threads, quota_gib=quota_gib, ahead_gib=ahead_gib, limits=limits, progress=progress)
    return _start(party, secure, host, port, limits, _link(link))


def _start(
    party: Server | Dealer, home: Path | None, host: str, port: int, limits: Limits | None, link: Link
) -> Running:
    try:
        service = Service(party.handle, home, host, port, limits, link)
    except BaseException:
        party.close()
        raise
    service.start()
    return Running(party, service)


def _fingerprint(home: Path, name: str) -> str:
    """The fingerprint of the peer enrolled as `name`."""
    for certificate in peers(home):
        if certificate.name == name:
            return certificate.fingerprint
    raise InvalidInput(f"no certificate is enrolled as {name!r} in {home}; run `tacit keys enrol`")


def connect(
    address: str,
    *,
    home: str | Path,
    dealer: str | None = None,
    policy: ClientPolicy | None = None,
    plan: str = "",
    threads: int = 2,
    quota_gib: float = 64.0,
    warm_bytes: int = WARM_BYTES,
    link: str | Link = LOOPBACK,
    server_name: str = "server",
    dealer_name: str = "dealer",
    insecure_plaintext: bool = False,
) -> Client:
    """Connect to a server as a client; `predict` on what is returned gives predictions.

    address      the server's, "tacit://host:7070"
    home         the client's home, with its certificate and its peers'
    dealer       the dealer's address; needed when the stock of material runs out
    policy       what this client accepts; checked against the plan before anything of the input is sent
    plan         digest of the plan to open; the server's first one if empty
    warm_bytes   how much of a run's material is in memory before it starts; the rest is read in time

    Raises NotPermitted, Mismatch, InvalidInput, RolledBack, ChannelError.
    """
    folder, line = Home.at(home), _link(link)
    secure = None if insecure_plaintext else folder.path
    dial_dealer = None if dealer is None else _dialler(secure, dealer, dealer_name, line, None)
    channel = _dialler(secure, address, server_name, line, None)()
    extra: dict[str, Any] = {"threads": threads, "plan_digest": plan, "quota_gib": quota_gib}
    extra["warm_bytes"] = warm_bytes
    return Client(folder, channel, policy or ClientPolicy(), dial_dealer, **extra)
