"""Refusals: how one party tells the other why it will not go on, as a typed error."""

from __future__ import annotations

from tacit.errors import (
    BundleSpent,
    Exhausted,
    Mismatch,
    NotPermitted,
    PeerError,
    PeerRefused,
    QuotaExceeded,
    RolledBack,
    TacitError,
)
from tacit.net.message import Message, MessageCodec, one_line
from tacit.net.party import Party

__all__ = ["decode_refusal", "encode_refusal"]

_TEXT, _FIELD = 500, 200

# The codes on the wire and the errors they become on the other side; a code that is not here becomes PeerRefused.
_CODES: tuple[tuple[str, type[TacitError]], ...] = (
    ("bundle-spent", BundleSpent),
    ("exhausted", Exhausted),
    ("rolled-back", RolledBack),
    ("not-permitted", NotPermitted),
    ("quota-exceeded", QuotaExceeded),
)
_MISMATCH = "mismatch"
_PLAIN = "refused"


class _Notice(Message, frozen=True, kw_only=True, tag="refusal"):
    """The payload of a refusal frame; `field`, `ours` and `theirs` (as its sender sees them) belong to a mismatch."""

    code: str
    text: str
    field: str = ""
    ours: str = ""
    theirs: str = ""


def encode_refusal(error: TacitError | str) -> bytes:
    """The payload that tells the peer about `error`, at most 8192 bytes.

    Errors of other types than the table's may speak of this side's own files and paths, so the peer hears only that
    there was one.
    """
    return MessageCodec().encode(_notice(error))


def _notice(error: TacitError | str) -> _Notice:
    if isinstance(error, str):
        return _Notice(code=_PLAIN, text=one_line(error, _TEXT))
    if isinstance(error, Mismatch):
        field, ours, theirs = (one_line(str(v), _FIELD) for v in (error.field, error.ours, error.theirs))
        return _Notice(code=_MISMATCH, text=one_line(str(error), _TEXT), field=field, ours=ours, theirs=theirs)
    for code, kind in _CODES:
        if isinstance(error, kind):
            return _Notice(code=code, text=one_line(str(error), _TEXT))
    if isinstance(error, PeerError):
        return _Notice(code=_PLAIN, text=one_line(str(error), _TEXT))
    return _Notice(code=_PLAIN, text="it could not go on; the reason is in its own log")


def decode_refusal(raw: memoryview, peer: Party) -> TacitError:
    """The error to raise on this side for the refusal `raw` of `peer`.

    PeerError (returned, not raised) if it is malformed.
    """
    try:
        notice = MessageCodec().decode(raw, (_Notice,), peer)
    except PeerError as error:
        return error
    text = f"{peer} refused: {one_line(notice.text, _TEXT)}"
    if notice.code == _MISMATCH:
        ours, theirs = one_line(notice.theirs, _FIELD), one_line(notice.ours, _FIELD)
        return Mismatch(str(peer), one_line(notice.field, _FIELD), ours, theirs)
    return dict(_CODES).get(notice.code, PeerRefused)(text)
