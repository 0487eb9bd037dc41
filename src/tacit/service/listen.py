"""Listening: one thread a peer, a bounded number of them, and no peer's fault ends the service."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tacit.errors import (
    ChannelClosed,
    ChannelError,
    ChannelTimeout,
    InvalidInput,
    NotPermitted,
    PeerRefused,
    QuotaExceeded,
    TacitError,
)
from tacit.net import tcp, tls
from tacit.net.address import Address
from tacit.net.channel import Channel
from tacit.net.shaper import LOOPBACK, Link, shape

__all__ = ["Limits", "Service", "answer"]

log = logging.getLogger("tacit.service")


@dataclass(frozen=True)
class Limits:
    """What one server or dealer grants.

    peers: connections at once, each: of one peer among them; bundles: of one client that wait here at once; idle_s:
    silence between requests after which a peer is dropped; step_s: silence within a run or an exchange.
    """

    peers: int = 64
    idle_s: float = 600.0
    step_s: float = 60.0
    each: int = 16
    bundles: int = 10_000

    def __post_init__(self) -> None:
        if not (1 <= self.peers <= 10_000 and self.each >= 1 and 1 <= self.bundles <= 20_000):
            raise InvalidInput("limits must be positive: peers up to 10000, bundles up to 20000")
        if not (0 < self.step_s <= 1e6 and 0 < self.idle_s <= 1e6):
            raise InvalidInput("limits must be positive: seconds up to a million")


def answer(handle: Callable[[Channel], None], channel: Channel) -> None:
    """Run `handle(channel)`; a peer that is refused, or that broke the protocol, is told so."""
    try:
        handle(channel)
    except (ChannelClosed, ChannelTimeout, PeerRefused):
        raise
    except QuotaExceeded:  # its message names this side's folders
        channel.refuse(QuotaExceeded("the store there is full; use up or erase material, or ask its operator"))
        raise
    except TacitError as error:
        channel.refuse(error)
        raise


def _crowded(channel: Channel) -> None:
    raise NotPermitted("this peer has too many connections open here; close one first")


class Service:
    """Accepts peers at host:port and runs `handle(channel)` for each in a thread of its own.

    link emulates a slower line; home is None for plain TCP (no encryption, no certificates), which callers must ask
    for explicitly.
    """

    def __init__(
        self,
        handle: Callable[[Channel], None],
        home: Path | None,
        host: str,
        port: int,
        limits: Limits | None = None,
        link: Link = LOOPBACK,
    ) -> None:
        self._handle, self._link = handle, link
        self._limits = limits or Limits()
        self._listener = tcp.Listener(host, port) if home is None else tls.Listener(home, host, port)
        self._slots = threading.BoundedSemaphore(self._limits.peers)
        self._open: set[Channel] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def address(self) -> Address:
        """Where it listens; the real port when 0 was asked for."""
        return self._listener.address

    @property
    def connections(self) -> int:
        """How many peers are connected now."""
        return len(self._open)

    def run(self) -> None:
        """Accept until `stop`."""
        while not self._stopping.is_set():
            try:
                incoming = self._listener.wait(1.0)
            except ChannelTimeout:
                continue
            except ChannelClosed:
                return
            except ChannelError as error:
                log.warning("%s", error)
                self._stopping.wait(0.1)
                continue
            if not self._slots.acquire(blocking=False):
                log.warning("refused a peer: %d are connected already", self._limits.peers)
                incoming.close()
                continue
            threading.Thread(target=self._serve, args=(incoming,), daemon=True, name="tacit-peer").start()

    def start(self) -> None:
        """Accept in a background thread."""
        threading.Thread(target=self.run, daemon=True, name="tacit-accept").start()

    def stop(self) -> None:
        """Stop accepting and close every connection. Claimed material of interrupted runs is erased by their
        threads.
        """
        self._stopping.set()
        self._listener.close()
        with self._lock:
            channels = list(self._open)
        for channel in channels:
            channel.close()

    def _serve(self, incoming: tcp.Incoming) -> None:
        try:
            self._talk(incoming)
        except TacitError as error:
            log.info("a connection ended: %s", error)
        except Exception:
            log.exception("a connection ended by a fault of this program")
        finally:
            self._slots.release()

    def _talk(self, incoming: tcp.Incoming) -> None:
        with incoming.open() as channel:
            shape(channel, self._link)
            channel.set_timeout(self._limits.step_s)
            with self._lock:
                self._open.add(channel)
                same = sum(c.peer.fingerprint == channel.peer.fingerprint != "" for c in self._open)
            try:
                answer(self._handle if same <= self._limits.each else _crowded, channel)
            finally:
                with self._lock:
                    self._open.discard(channel)
