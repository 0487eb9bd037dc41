"""The meter: frames, bytes and turns of one channel, counted per phase."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from tacit.errors import InvalidInput

__all__ = ["PHASES", "Counts", "Meter", "Phase", "Snapshot"]

Phase = Literal["handshake", "register", "deal", "prime", "online"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True)
class Counts:
    """What one party saw: frames, bytes (8 per header included) and `turns`, the one-way steps it took.

    A turn begins with the first frame sent in a phase, and with each frame sent after one was received.
    """

    frames_sent: int = 0
    bytes_sent: int = 0
    frames_received: int = 0
    bytes_received: int = 0
    turns: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Snapshot:
    """The counts of every phase at one moment; the difference of two is what happened between them."""

    phases: Mapping[Phase, Counts]

    def __getitem__(self, phase: Phase) -> Counts:
        return self.phases[phase]

    def __sub__(self, earlier: Snapshot) -> Snapshot:
        return Snapshot({phase: self[phase] - earlier[phase] for phase in PHASES})

    @property
    def total(self) -> Counts:
        """The sum over all phases."""
        return sum(self.phases.values(), Counts())


class Meter:
    """Counts the message and data frames of one channel, by phase; refusals and goodbyes cost nothing.

    Any thread may read it or change the phase.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: Phase = "handshake"
        # Plain integers in the order of the fields of Counts: this runs once per frame.
        self._counts = {phase: [0] * len(fields(Counts)) for phase in PHASES}
        self._sending = False

    @property
    def current(self) -> Phase:
        """The phase that frames are now counted under."""
        return self._current

    def phase(self, name: Phase) -> None:
        """Counts from here on under `name`; the next frame sent begins a new turn.

        Raises InvalidInput if there is no such phase.
        """
        if name not in PHASES:
            raise InvalidInput(f"there is no phase {name!r} to meter; the phases are {', '.join(PHASES)}")
        with self._lock:
            if name != self._current:
                self._current, self._sending = name, False

    def sent(self, nbytes: int) -> None:
        """Counts one frame of `nbytes` bytes, header included, that left."""
        with self._lock:
            counts = self._counts[self._current]
            counts[0] += 1
            counts[1] += nbytes
            counts[4] += not self._sending
            self._sending = True

    def received(self, nbytes: int) -> None:
        """Counts one frame of `nbytes` bytes, header included, that arrived whole."""
        with self._lock:
            counts = self._counts[self._current]
            counts[2] += 1
            counts[3] += nbytes
            self._sending = False

    def snapshot(self) -> Snapshot:
        """The counts so far."""
        with self._lock:
            return Snapshot({phase: Counts(*counts) for phase, counts in self._counts.items()})
