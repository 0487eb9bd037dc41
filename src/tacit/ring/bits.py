"""Arrays of k-bit ring elements as packed bytes, the form in which they travel and are stored."""

from __future__ import annotations

import math

import numpy as np

from tacit.errors import InvalidInput
from tacit.ring import native
from tacit.ring.native import Bytes, Words

__all__ = ["pack", "packed_size", "unpack"]


def packed_size(count: int, bits: int) -> int:
    """The bytes that `count` elements of `bits` bits (1 to 64) take: ceil(count * bits / 8).

    Raises:
        InvalidInput: a negative count or a width outside 1 ... 64.
    """
    if count < 0 or not 1 <= bits <= 64:
        raise InvalidInput(f"{count} elements of {bits} bits cannot be packed: use 0 or more elements of 1 to 64 bits")
    return (count * bits + 7) // 8


def pack(values: Words, bits: int, *, threads: int = 1) -> Bytes:
    """The low `bits` bits of every element, in row-major order, as `packed_size(values.size, bits)` bytes."""
    packed_size(values.size, bits)
    return native.pack(np.ascontiguousarray(values).reshape(-1), bits, threads=threads)


def unpack(
    data: bytes | bytearray | memoryview | Bytes, bits: int, shape: tuple[int, ...], *, threads: int = 1
) -> Words:
    """The elements of `shape` that `pack` made into `data`, each below 2^bits.

    Raises:
        InvalidInput: the length is not exactly what the shape needs, or a padding bit is set.
    """
    count = math.prod(shape)
    wanted = packed_size(count, bits)
    view = data if isinstance(data, np.ndarray) else np.frombuffer(data, dtype=np.uint8)
    if view.nbytes != wanted:
        raise InvalidInput(f"packed data has {view.nbytes} bytes where shape {shape} at {bits} bits takes {wanted}")
    used = count * bits % 8
    if used and int(view.reshape(-1)[-1]) >> used:
        raise InvalidInput(
            f"packed data of shape {shape} at {bits} bits has padding bits set: it was altered or misread"
        )
    return native.unpack(np.ascontiguousarray(view).reshape(-1), bits, count, threads=threads).reshape(shape)
