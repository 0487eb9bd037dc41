"""What the demo's parties tell the process that started them: one JSON object a line on their standard output."""

from __future__ import annotations

import sys

import msgspec

from tacit.errors import PeerError

__all__ = ["Event", "Listening", "Measured", "Metered", "Progress", "decode", "emit"]


class Listening(msgspec.Struct, tag="listening", forbid_unknown_fields=True):
    """A dealer or server accepts peers at `address`, a tacit:// URL."""

    address: str


class Metered(msgspec.Struct, tag="metered", forbid_unknown_fields=True):
    """A server has stopped; what it fetched from the dealer, in frame bytes, and in how many seconds."""

    dealt_bytes: int
    dealt_seconds: float


class Progress(msgspec.Struct, tag="progress", forbid_unknown_fields=True):
    """The client has done `done` of `total` in `stage`: registering, dealing, priming or predicting."""

    stage: str
    done: int
    total: int


class Measured(msgspec.Struct, tag="measured", forbid_unknown_fields=True):
    """The client has every prediction, in its own home.

    seconds       by stage: register, deal, prime (waiting for the server to fetch its material included), claim, online
                  (from the first masked byte to the decoded answer)
    bytes_made    what the client's meters counted by phase: register, deal, prime, both directions
    sent, received, turns   online frame bytes and one-way steps of the client, all runs together
    """

    runs: int
    seconds: dict[str, float]
    bytes_made: dict[str, int]
    sent: int
    received: int
    turns: int


Event = Listening | Metered | Progress | Measured


def emit(event: Event) -> None:
    """Write one event, at once."""
    sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
    sys.stdout.flush()


def decode(line: bytes) -> Event:
    """Read one event; PeerError if the line is not one."""
    try:
        event: Event = msgspec.json.decode(line, type=Event)
    except msgspec.MsgspecError as error:
        raise PeerError(f"a party of the demo wrote a line that is no event: {error}") from error
    return event
