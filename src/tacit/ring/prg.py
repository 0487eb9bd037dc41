"""Secret seeds: their derivation, and the pseudorandom ring elements they expand to."""

from __future__ import annotations

import hashlib
import hmac
import math
import os

from tacit.errors import InvalidInput
from tacit.ring import native, tensor
from tacit.ring.native import Words

__all__ = ["SEED_BYTES", "Seed", "nonce_of"]

SEED_BYTES = 16


def nonce_of(domain: int, site: int) -> int:
    """The stream of a seed for one purpose (`domain`) at one place (`site`): domain * 2^32 + site.

    Raises:
        InvalidInput: either is not in 0 ... 2^32 - 1.
    """
    if not (0 <= domain < 1 << 32 and 0 <= site < 1 << 32):
        raise InvalidInput(f"stream ({domain}, {site}) does not exist: domain and site must be in 0 ... 2^32 - 1")
    return domain << 32 | site


class Seed:
    """A secret of 16 bytes that expands, by AES-128 in counter mode, to 2^64 independent streams of 2^64 words.

    A (domain, site, word) must be used for one thing only. The bytes never show in repr, and a Seed does not pickle.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Takes the 16 bytes that the operating system, a file or a peer gave.

        Raises:
            InvalidInput: another length.
        """
        if len(key) != SEED_BYTES:
            raise InvalidInput(f"a seed has {SEED_BYTES} bytes, and this one {len(key)}")
        self._key = bytes(key)

    @classmethod
    def fresh(cls) -> Seed:
        """A new seed from the operating system's generator."""
        return cls(os.urandom(SEED_BYTES))

    @property
    def key(self) -> bytes:
        """The secret itself, for a kernel, a file or the party that is to share it."""
        return self._key

    def derive(self, label: str, *parts: bytes) -> Seed:
        """The seed for the purpose `label` and the given public parts: the first half of HMAC-SHA-256 under this one.

        The message is the number of fields and then each field, the label first, after its length, as 64-bit
        little-endian integers, so no two lists of fields meet.
        """
        fields = [label.encode(), *parts]
        message = b"".join([_le64(len(fields)), *(_le64(len(field)) + field for field in fields)])
        return Seed(hmac.new(self._key, message, hashlib.sha256).digest()[:SEED_BYTES])

    def words(self, domain: int, site: int, count: int, first: int = 0, *, threads: int = 1) -> Words:
        """Words first ... first + count - 1 of stream (domain, site), uniform mod 2^64; of (count,).

        Raises:
            InvalidInput: domain or site is not in 0 ... 2^32 - 1, or the words are not all in 0 ... 2^64 - 1.
        """
        nonce = nonce_of(domain, site)
        if count < 0 or first < 0 or first + count > 1 << 64:
            raise InvalidInput(f"{count} words from word {first} on are not all in 0 ... 2^64 - 1")
        return native.prg(self._key, nonce, min(first, (1 << 64) - 1), count, threads=threads)

    def uniform(self, domain: int, site: int, shape: tuple[int, ...], bits: int, *, threads: int = 1) -> Words:
        """Uniform elements mod 2^bits, of `shape`: the first words of stream (domain, site), masked.

        Raises:
            InvalidInput: as `words`, or bits is not in 1 ... 64.
        """
        low_bits = tensor.modulus_mask(bits)
        words = self.words(domain, site, math.prod(shape), threads=threads)
        words &= low_bits
        return words.reshape(shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seed) and hmac.compare_digest(self._key, other._key)

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key

    def __repr__(self) -> str:
        return "Seed(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a Seed does not pickle: send its key on purpose")


def _le64(value: int) -> bytes:
    return value.to_bytes(8, "little")
