"""Authenticated encryption of one part of a bundle under the bundle's own key, streamed, so nothing is held twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["KEY_BYTES", "OVERHEAD", "InvalidTag", "seal", "unseal"]

KEY_BYTES: Final = 32
_NONCE: Final = 12
_TAG: Final = 16
OVERHEAD: Final = _NONCE + _TAG
# Small enough that plaintext and ciphertext of a step stay in the second-level cache.
_STEP: Final = 1 << 18
# Large enough to keep a disk busy; the rate of AES is the same.
_READ: Final = 1 << 20
# `update_into` asks for a block less one byte of room beyond its output, although GCM never uses it.
_SLACK: Final = 15


def seal(key: bytes, label: bytes, plain: memoryview, write: Callable[[memoryview], None]) -> None:
    """Write nonce (12 B), AES-256-GCM ciphertext and tag (16 B) of `plain`; `label` is authenticated, not stored.

    The nonce is random: one key seals a few hundred parts at most, far from the 2^32 of NIST SP 800-38D 8.3.
    """
    nonce = os.urandom(_NONCE)
    cipher = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(label)
    write(memoryview(nonce))
    scratch = memoryview(bytearray(min(len(plain), _STEP) + _SLACK))
    for start in range(0, len(plain), _STEP):
        count = cipher.update_into(plain[start : start + _STEP], scratch)
        write(scratch[:count])
    cipher.finalize()
    write(memoryview(cipher.tag))


def unseal(key: bytes, label: bytes, length: int, read: Callable[[memoryview], None]) -> memoryview:
    """The `length` bytes that `seal` wrote, as a read-only view; `read` fills the view it is given from the file.

    Raises InvalidTag if key, label or any byte differs; the unauthenticated plaintext is then wiped, never returned.
    """
    nonce, tag = bytearray(_NONCE), bytearray(_TAG)
    read(memoryview(nonce))
    cipher = Cipher(algorithms.AES(key), modes.GCM(bytes(nonce))).decryptor()
    cipher.authenticate_additional_data(label)
    # numpy leaves the memory unset, where a bytearray would write it all once more.
    plain = np.empty(length + _SLACK, np.uint8).data
    scratch = memoryview(bytearray(min(length, _READ)))
    for start in range(0, length, _READ):
        piece = scratch[: min(_READ, length - start)]
        read(piece)
        cipher.update_into(piece, plain[start : start + len(piece) + _SLACK])
    read(memoryview(tag))
    try:
        cipher.finalize_with_tag(bytes(tag))
    except InvalidTag:
        np.frombuffer(plain, np.uint8).fill(0)
        raise
    return plain[:length].toreadonly()
