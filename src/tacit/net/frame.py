"""The frame: eight bytes of header, then the payload.

    offset  0         4       5          6         8
            u32       u8      u8         u16
            length    kind    version=1  zero      payload ...        (little-endian)

`length` counts the payload alone. Every check here happens before a byte is allocated for the payload.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from tacit.errors import PeerError
from tacit.net.party import Party

__all__ = [
    "DATA_LIMIT",
    "HEADER_BYTES",
    "MESSAGE_LIMIT",
    "REFUSAL_LIMIT",
    "VERSION",
    "Kind",
    "pack_header",
    "parse_header",
]

VERSION = 1
MESSAGE_LIMIT = 1 << 20
DATA_LIMIT = 1 << 31
REFUSAL_LIMIT = 1 << 13

_HEADER = struct.Struct("<IBBH")
HEADER_BYTES = _HEADER.size


class Kind(IntEnum):
    """What a frame carries: a checked message, raw data whose size the receiver knows, a refusal, or the last word."""

    MESSAGE = 1
    DATA = 2
    REFUSAL = 3
    BYE = 4


_KINDS = {int(kind): kind for kind in Kind}
_LIMITS = {Kind.MESSAGE: DATA_LIMIT, Kind.DATA: DATA_LIMIT, Kind.REFUSAL: REFUSAL_LIMIT, Kind.BYE: 0}


def pack_header(kind: Kind, length: int) -> bytes:
    """The 8 bytes before a payload of `length` bytes, 0 <= length <= 2^31."""
    return _HEADER.pack(length, kind, VERSION, 0)


def parse_header(raw: bytes | bytearray | memoryview, peer: Party) -> tuple[Kind, int]:
    """Reads 8 bytes from `peer` as (kind, payload length).

    Raises PeerError for an unknown kind or version, a non-zero reserved field, or a length that no frame of that kind
    has.
    """
    length, kind, version, zero = _HEADER.unpack(raw)
    if version != VERSION or zero != 0 or kind not in _KINDS:
        raise PeerError(
            f"{peer} sent bytes that are not a Tacit frame (version {VERSION}); check that it runs a matching Tacit "
            "and that both sides use TLS or neither does"
        )
    if length > _LIMITS[_KINDS[kind]]:
        raise PeerError(f"{peer} announced a {_KINDS[kind].name.lower()} frame of {length} bytes, more than any has")
    return _KINDS[kind], length
