"""A dealer, a server and clients in one process: the real parties with homes on disk, over in-memory channels."""

from __future__ import annotations

import hashlib
import pkgutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tacit import protocols
from tacit.errors import TacitError
from tacit.net.channel import Channel
from tacit.net.memory import pair
from tacit.net.party import Party
from tacit.net.record import Recorder, record
from tacit.plan.plan import Plan
from tacit.plan.policy import ClientPolicy
from tacit.run.handshake import greet
from tacit.service.client import Client
from tacit.service.dealer import Dealer
from tacit.service.home import Home
from tacit.service.listen import Limits, answer
from tacit.service.server import Server

__all__ = ["Call", "House", "identity"]


def identity(name: str) -> str:
    """The fingerprint that stands for the certificate of the party `name`: 64 hex digits."""
    return hashlib.sha256(f"tacit test identity {name}".encode()).hexdigest()


def _protocols() -> tuple[str, ...]:
    """Every protocol there is: the folders of `tacit.protocols`."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(protocols.__path__)))


@dataclass
class Call:
    """One connection: the caller's end and what crossed it, the answerer's end, the answering thread and its end."""

    caller: str
    answerer: str
    here: Channel = field(repr=False)
    there: Channel = field(repr=False)
    tap: Recorder = field(repr=False)
    thread: threading.Thread = field(init=False, repr=False)
    ended: BaseException | None = None


class House:
    """A dealer, a server of `plans` and any number of clients, with homes under `root`.

    Every connection is kept in `calls`, in order. Errors that are not TacitErrors end in `faults`, which must stay
    empty.
    Used in a `with` statement it closes everything.
    """

    def __init__(
        self, root: Path, plans: Sequence[Plan], *, limits: Limits | None = None, policy: ClientPolicy | None = None
    ) -> None:
        """`policy` is the clients'; every connection is recorded with its frames at the caller's end."""
        self.root, self.limits = root, limits or Limits(idle_s=20.0, step_s=20.0)
        self.policy = policy or ClientPolicy(dealers=(identity("dealer"),), protocols=_protocols())
        self.calls: list[Call] = []
        self.faults: list[BaseException] = []
        self.dealer = Dealer(root / "dealer", limits=self.limits)
        self.server = self.serve(plans)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, wait for the answering threads, release the stores."""
        for call in self.calls:
            call.here.close()
            call.there.close()
        for call in self.calls:
            call.thread.join(20.0)
        self.server.close()
        self.dealer.close()

    def serve(self, plans: Sequence[Plan], home: str = "server") -> Server:
        """A server of `plans` with the identity "server" and the home of this name."""
        extra: dict[str, Any] = {"dealer": identity("dealer"), "call": self._call_dealer, "limits": self.limits}
        return Server(self.root / home, plans, threads=1, quota_gib=0.25, **extra)

    def dial(self, caller: str, answerer: str) -> Channel:
        """The caller's end of a new connection to "server" or "dealer", which answers in a thread of its own."""
        here, there = pair(caller, answerer)
        for channel, name in ((here, answerer), (there, caller)):
            channel.transport.peer = replace(Party(name), fingerprint=identity(name))
            channel.set_timeout(self.limits.step_s)
        call = Call(caller, answerer, here, there, record(here, keep=True))
        call.thread = threading.Thread(target=self._answer, args=(call,), daemon=True)
        self.calls.append(call)
        call.thread.start()
        return here

    def client(
        self,
        name: str = "client",
        *,
        home: str = "",
        policy: ClientPolicy | None = None,
        plan: str = "",
        deal: bool = True,
    ) -> Client:
        """A client with the identity `name`; its home has the same name unless `home` says another."""
        folder, channel = Home.at(self.root / (home or name)), self.dial(name, "server")
        dial = (lambda: self.dial(name, "dealer")) if deal else None
        return Client(folder, channel, policy or self.policy, dial, threads=1, plan_digest=plan, quota_gib=0.25)

    def last(self, caller: str, answerer: str) -> Call:
        """The newest connection between these two."""
        return next(c for c in reversed(self.calls) if (c.caller, c.answerer) == (caller, answerer))

    def _call_dealer(self) -> Channel:
        channel = self.dial("server", "dealer")
        greet(channel, "server", ("dealer",))
        return channel

    def _answer(self, call: Call) -> None:
        party = self.server if call.answerer == "server" else self.dealer
        with call.there as channel:
            try:
                answer(party.handle, channel)
            except TacitError as error:
                call.ended = error
            except BaseException as error:
                call.ended = error
                self.faults.append(error)
