"""The demo's dealer and server, each with nothing but its own home: `python -m tacit.cli._demo_host ROLE HOME`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tacit.cli._demo_events import Listening, Metered, emit
from tacit.cli._demo_homes import OWNER_FILE
from tacit.errors import TacitError
from tacit.net.channel import Channel
from tacit.net.meter import Meter
from tacit.service.api import Running, deal, serve
from tacit.service.server import Server

__all__ = ["main"]


@dataclass
class _MeteredDial:
    """A dial function that keeps the meter of every channel it opens."""

    dial: Callable[[], Channel]
    meters: list[Meter] = field(default_factory=list)

    def __call__(self) -> Channel:
        channel = self.dial()
        self.meters.append(channel.meter)
        return channel

    @property
    def dealt_bytes(self) -> int:
        """Bytes of material that came over these channels."""
        counts = [meter.snapshot()["deal"] for meter in self.meters]
        return sum(c.bytes_sent + c.bytes_received for c in counts)


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
    emit(Metered(sum(dial.dealt_bytes for dial in dials)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
