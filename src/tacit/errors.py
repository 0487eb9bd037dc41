"""Every exception Tacit raises on purpose, as one tree.

    TacitError
    ├── Refused              a model or plan cannot be taken; lists every problem at once
    ├── InvalidInput         the caller's data, file, option or configuration is wrong
    │   └── InvalidFile      a file is truncated, altered or not ours
    ├── NotPermitted         the policy of this side does not accept what is asked
    ├── Mismatch             two parties disagree; names the field and both sides
    ├── RangeNotCertified    a model's polynomials leave their range, or its certificate is another model's
    ├── TrainingDiverged     a loss or gradient is not a finite number; nothing was saved of that step
    ├── Exhausted            no offline material is left for this plan and peer
    ├── StoreError           the material store cannot do what is asked; nothing was lost
    │   ├── QuotaExceeded    it would outgrow its quota, or the disk is full
    │   ├── BundleSpent      the bundle is claimed, erased, unknown or another client's
    │   └── RolledBack       the store is older than its peer remembers
    └── ChannelError         the connection is dead; the session with it
        ├── PeerError        the peer sent something that is not the protocol
        ├── PeerRefused      the peer refused and said why
        ├── ChannelClosed    the peer went away
        └── ChannelTimeout   the peer said nothing for too long

Messages are one sentence for the user: what was wrong, where, and what to do. They never contain a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BundleSpent",
    "ChannelClosed",
    "ChannelError",
    "ChannelTimeout",
    "Exhausted",
    "InvalidFile",
    "InvalidInput",
    "Mismatch",
    "NotPermitted",
    "PeerError",
    "PeerRefused",
    "QuotaExceeded",
    "RangeNotCertified",
    "Refusal",
    "Refused",
    "RolledBack",
    "StoreError",
    "TacitError",
    "TrainingDiverged",
]


class TacitError(Exception):
    """The root of every error that Tacit raises on purpose."""


@dataclass(frozen=True)
class Refusal:
    """One problem of a model: `kind` says whether it is final, `where` names the node, `advice` what to do instead."""

    kind: Literal["never", "not yet", "replace"]
    where: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"[{self.kind}] {self.where}: {self.what}. {self.advice}"


class Refused(TacitError):
    """A model cannot be taken as it is. `refusals` holds every problem found, never only the first."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        count = len(self.refusals)
        head = f"this model cannot be run privately as it is: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n".join([head, *(f"  {r}" for r in self.refusals)]))


class InvalidInput(TacitError):
    """The caller's data, option or configuration is wrong; the message says what, where and what to do."""


class InvalidFile(InvalidInput):
    """A file is truncated, altered, of another version, or not one of Tacit's."""


class NotPermitted(TacitError):
    """The policy of this side does not accept what the plan or the peer asks for."""


class Mismatch(TacitError):
    """Two parties disagree: `field` differs, `ours` here and `theirs` at `side`."""

    def __init__(self, side: str, field: str, ours: object, theirs: object) -> None:
        self.side, self.field, self.ours, self.theirs = side, field, ours, theirs
        super().__init__(f"the {side} has a different {field}: {theirs!s} there, {ours!s} here")


class RangeNotCertified(TacitError):
    """Polynomials of a model see inputs beyond their range, or the certificate is of another model's weights."""


class TrainingDiverged(TacitError):
    """A training step's loss or gradient is not a finite number; checkpoints hold the state before that step."""


class Exhausted(TacitError):
    """No offline material is left for this plan and this peer; more must be dealt."""


class StoreError(TacitError):
    """The store cannot do what is asked; what it holds is unchanged."""


class QuotaExceeded(StoreError):
    """The store would outgrow its quota, or the disk is full."""


class BundleSpent(StoreError):
    """The bundle is already claimed or erased, is unknown, or belongs to another client."""


class RolledBack(StoreError):
    """A store is older than its peer remembers: it was restored from a copy, and using it could reuse a mask."""


class ChannelError(TacitError):
    """The connection is dead, and the session with it."""


class PeerError(ChannelError):
    """The peer sent something that is not the protocol."""


class PeerRefused(ChannelError):
    """The peer refused the request; the message is the peer's reason."""


class ChannelClosed(ChannelError):
    """The peer closed the connection or went away."""


class ChannelTimeout(ChannelError):
    """The peer said nothing for longer than the time limit."""
