"""The demo's dealer and server, each with nothing but its own home: `python -m tacit.cli._demo_host ROLE HOME`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tacit.cli._demo_events import Listening, Metered, emit
from tacit.cli._demo_homes import OWNER_FILE
from tacit.errors import TacitError
from tacit.net.channel import Channel
from tacit.net.meter import Meter
from tacit.net.transport import Transport
from tacit.service.api import Running, deal, serve
from tacit.service.server import Server

__all__ = ["main"]


class _Timed(Transport):
    """A layer that notes how long its channel was open, in seconds."""

    def __init__(self, inner: Transport) -> None:
        self.peer, self._inner = inner.peer, inner
        self._opened, self.seconds = time.perf_counter(), 0.0

    def send(self, buffers: Sequence[memoryview]) -> None:
        self._inner.send(buffers)

    def recv_into(self, view: memoryview) -> int:
        return self._inner.recv_into(view)

    def set_timeout(self, seconds: float | None) -> None:
        self._inner.set_timeout(seconds)

    def close(self, linger: float = 0.0) -> None:
        self.seconds = self.seconds or time.perf_counter() - self._opened
        self._inner.close(linger)


@dataclass
class _MeteredDial:
    """A dial function that remembers what every channel it opens has carried, and for how long."""

    dial: Callable[[], Channel]
    opened: list[tuple[Meter, _Timed]] = field(default_factory=list)

    def __call__(self) -> Channel:
        channel = self.dial()

        def timed(inner: Transport) -> Transport:
            layer = _Timed(inner)
            self.opened.append((channel.meter, layer))
            return layer

        channel.wrap(timed)
        return channel

    def metered(self) -> Metered:
        """The sums over all channels."""
        counts = [meter.snapshot()["deal"] for meter, _ in self.opened]
        dealt = sum(c.bytes_sent + c.bytes_received for c in counts)
        return Metered(dealt, sum(timed.seconds for _, timed in self.opened))


def _watch(running: Running) -> list[_MeteredDial]:
    """Meter a server's calls to its dealer from now on; a dealer makes none."""
    dials = []
    if isinstance(running.party, Server):
        for hosted in running.party.plans.values():
            if hosted.call is not None:
                hosted.call = _MeteredDial(hosted.call)
                dials.append(hosted.call)
    return dials


def _start(args: argparse.Namespace) -> Running:
    home = Path(args.home)
    if args.role == "dealer":
        return deal(home=home, port=0, link=args.link)
    return serve(home / OWNER_FILE, home=home, dealer=args.dealer, port=0, link=args.link, threads=1)


def main() -> int:
    """Listen, say where, and stop when whoever started this closes standard input or dies; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["dealer", "server"])
    parser.add_argument("home")
    parser.add_argument("--dealer", help="address of the dealer, for a server")
    parser.add_argument("--link", default="loopback")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        with _start(args) as running:
            dials = _watch(running)
            emit(Listening(running.address))
            sys.stdin.buffer.read()
    except TacitError as error:
        print(error, file=sys.stderr)
        return 1
    for dial in dials:
        emit(dial.metered())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
