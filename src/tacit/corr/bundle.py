"""A Bundle's identity and seeds: the material of one inference of one plan for one client certificate."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from tacit.errors import InvalidInput
from tacit.ring.prg import Seed

__all__ = ["BUNDLE_BYTES", "Seeds", "check_bundle_id", "fresh_bundle_id"]

BUNDLE_BYTES = 16


@dataclass(frozen=True)
class Seeds:
    """The two seeds of a bundle. A party holds its own only; the dealer, who made them, holds both."""

    client: Seed | None = field(default=None, repr=False)
    server: Seed | None = field(default=None, repr=False)

    @classmethod
    def fresh(cls) -> Seeds:
        """New seeds from the operating system's generator."""
        return cls(Seed.fresh(), Seed.fresh())

    def of(self, rank: int) -> Seed:
        """The seed of party `rank`; asking for one that this side does not hold is a programming error."""
        seed = (self.client, self.server)[rank]
        if seed is None:
            raise LookupError(f"this side does not hold the seed of party {rank}")
        return seed


def fresh_bundle_id() -> bytes:
    """A random 128-bit bundle id."""
    return secrets.token_bytes(BUNDLE_BYTES)


def check_bundle_id(raw: bytes) -> bytes:
    """`raw` if it has the form of a bundle id; InvalidInput otherwise."""
    if len(raw) != BUNDLE_BYTES:
        raise InvalidInput(f"a bundle id has {BUNDLE_BYTES} bytes, not {len(raw)}")
    return raw
