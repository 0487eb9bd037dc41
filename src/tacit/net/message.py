"""Messages: small, schema-checked control data, as MessagePack."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any, TypeVar

import msgspec

from tacit.errors import InvalidInput, PeerError
from tacit.net.party import Party

__all__ = ["Message", "MessageCodec", "one_line"]

M = TypeVar("M", bound=msgspec.Struct)


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """The parent of every control message: subclasses add typed fields, and the class name is their tag on the wire."""


class _Tagless(Message, frozen=True, tag=""):
    """Nothing; never sent."""


def one_line(text: str, limit: int) -> str:
    """`text` cut to `limit` characters, everything unprintable replaced: what a peer wrote must not drive a terminal or
    a log.
    """
    clean = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


class MessageCodec:
    """Encodes messages, and decodes them against the types that the receiver expects."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoders: dict[tuple[type[msgspec.Struct], ...], msgspec.msgpack.Decoder[Any]] = {}

    def encode(self, message: msgspec.Struct) -> bytes:
        """The bytes of `message`. Raises InvalidInput if its type is not tagged and closed to unknown fields."""
        _check_type(type(message))
        return self._encoder.encode(message)

    def decode(self, raw: memoryview, types: tuple[type[M], ...], peer: Party) -> M:
        """Reads `raw` as one of `types`. Raises PeerError if it is anything else."""
        decoder = self._decoders.get(types)
        if decoder is None:
            for kind in types:
                _check_type(kind)
            # msgspec lets the tag be absent where only one type is expected; a second type makes it mandatory.
            decoder = self._decoders[types] = msgspec.msgpack.Decoder(reduce(or_, types, _Tagless))
        try:
            message: M = decoder.decode(raw)
            if isinstance(message, _Tagless):
                raise ValueError("an empty tag")
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            expected = " or ".join(kind.__name__ for kind in types)
            raise PeerError(f"{peer} sent a message that is not {expected}: {one_line(str(error), 160)}") from None
        return message


def _check_type(kind: type[msgspec.Struct]) -> None:
    settings = kind.__struct_config__
    if settings.tag is None or not settings.forbid_unknown_fields:
        raise InvalidInput(f"{kind.__name__} cannot be a message: it must be tagged and forbid unknown fields")
