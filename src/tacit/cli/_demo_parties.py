"""The demo's processes: each party started with its own home, watched, and stopped whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tacit.cli._demo_events import Event, Listening, Measured, Metered, Progress, decode
from tacit.cli._demo_homes import Homes
from tacit.errors import ChannelError, PeerError

__all__ = ["Party", "run_parties"]

LOG_FILE = "log.txt"
_GRACE_S = 5.0


class Party:
    """One process; what it logs goes to its own home. It is in a session of its own, so that Ctrl-C reaches this
    process alone, and it stops when its standard input ends, so that it never outlives this one."""

    def __init__(self, name: str, module: str, home: Path, *arguments: str) -> None:
        self.name, self._log = name, home / LOG_FILE
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    @property
    def failed(self) -> bool:
        """Whether the process has ended with an error."""
        return self._process.poll() not in (None, 0)

    def next_event(self) -> Event | None:
        """What the party says next; None when it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return decode(line) if line else None

    def finish(self) -> None:
        """Ask the party to stop: its standard input ends."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def kill(self) -> None:
        """Make sure that the process is gone."""
        self.finish()
        for stop in (self._process.terminate, self._process.kill):
            stop()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
                break
        assert self._process.stdout is not None
        self._process.stdout.close()

    def failure(self) -> ChannelError:
        """Why the party has stopped: the last line that it logged."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        lines = self._log.read_text("utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it logged nothing")
        return ChannelError(f"the demo's {self.name} stopped with status {self._process.poll()}: {last}")


@contextmanager
def _running(parties: list[Party]) -> Iterator[Callable[..., Party]]:
    """A function that starts a party; every party is gone at the end, also after an error or Ctrl-C."""

    def start(name: str, module: str, home: Path, *arguments: str) -> Party:
        parties.append(Party(name, module, home, *arguments))
        return parties[-1]

    try:
        yield start
    finally:
        for party in reversed(parties):
            party.kill()


def _address(party: Party) -> str:
    event = party.next_event()
    if not isinstance(event, Listening):
        raise party.failure() if event is None else PeerError(f"the demo's {party.name} did not say where it listens")
    return event.address


def _measured(client: Party, hosts: list[Party], show: Callable[[Progress], None]) -> Measured:
    """The client's figures; if it fails because a host died, that host is named."""
    while (event := client.next_event()) is not None:
        if isinstance(event, Measured):
            return event
        if isinstance(event, Progress):
            show(event)
    raise next((host for host in hosts if host.failed), client).failure()


def run_parties(homes: Homes, link: str, show: Callable[[Progress], None]) -> tuple[Measured, Metered]:
    """Run dealer, server and client, each in a process and home of its own; what client and server
    measured. ChannelError with the last line of its log if a party dies."""
    parties: list[Party] = []
    with _running(parties) as start:
        at = {name: str(homes.of(name)) for name in ("dealer", "server", "client")}
        host = "tacit.cli._demo_host"
        dealer = start("dealer", host, homes.of("dealer"), "dealer", at["dealer"], "--link", link)
        to_dealer = _address(dealer)
        server_arguments = ("server", at["server"], "--dealer", to_dealer, "--link", link)
        server = start("server", host, homes.of("server"), *server_arguments)
        client_arguments = (at["client"], _address(server), to_dealer, "--link", link)
        client = start("client", "tacit.cli._demo_client", homes.of("client"), *client_arguments)
        measured = _measured(client, [dealer, server], show)
        server.finish()
        last = server.next_event()
        if not isinstance(last, Metered):
            raise server.failure()
    return measured, last
