"""A party: who is at the other end of a channel."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Party"]


@dataclass(frozen=True)
class Party:
    """The other end of a channel.

    `name` is the name that this side enrolled it under, or its address on a transport without certificates;
    `fingerprint` is the SHA-256 of its certificate (DER) as 64 lower-case hex digits, or "" where nothing proves who it
    is.
    """

    name: str
    fingerprint: str = ""

    def __str__(self) -> str:
        return self.name or "the peer"
