"""Arrays of ring elements: reduction to k bits and the signed numbers they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ring.native import Tensor, Words

__all__ = ["centered", "mask", "modulus_mask", "narrowed", "taken", "wrap"]


def modulus_mask(bits: int) -> np.uint64:
    """2^bits - 1 as a word, for bits of 1 to 64.

    Raises:
        InvalidInput: another width.
    """
    if not 1 <= bits <= 64:
        raise InvalidInput(f"a ring of {bits} bits does not exist here: use 1 to 64")
    return np.uint64((1 << bits) - 1)


def mask(values: Words, bits: int) -> Words:
    """The elements mod 2^bits, of the same shape."""
    return np.asarray(np.bitwise_and(values, modulus_mask(bits)), dtype=np.uint64)


def narrowed(values: Words, bits: int) -> Tensor:
    """The same elements as products mod 2^bits take their tensor: uint32 for up to 32 bits, which halves the work."""
    modulus_mask(bits)
    return values.astype(np.uint32) if bits <= 32 else values


def centered(values: Words, bits: int) -> NDArray[np.int64]:
    """The representative of each element mod 2^bits in [-2^(bits-1), 2^(bits-1)), of the same shape."""
    modulus_mask(bits)
    unused = np.uint64(64 - bits)
    high = np.left_shift(np.asarray(values, dtype=np.uint64), unused)
    return np.asarray(np.right_shift(high.view(np.int64), np.int64(unused)), dtype=np.int64)


def wrap(values: NDArray[np.int64], bits: int) -> Words:
    """Signed integers as elements mod 2^bits, of the same shape."""
    return mask(np.ascontiguousarray(values, dtype=np.int64).view(np.uint64).reshape(np.shape(values)), bits)


def _runs(index: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """The positions as slices with a positive step, each with where it begins: slices are copied faster than lists."""
    start = 0
    while start < len(index):
        end, step = start + 1, 1
        if end < len(index) and index[end] > index[start]:
            step = index[end] - index[start]
            while end < len(index) and index[end] - index[end - 1] == step:
                end += 1
        yield start, slice(index[start], index[end - 1] + 1, step)
        start = end


def taken(x: NDArray[Any], along: int, index: Sequence[int]) -> NDArray[Any]:
    """The entries of `x` at the positions `index` of the axis `along`, copied."""
    runs = list(_runs(index))
    if len(runs) > 16:
        return np.ascontiguousarray(np.take(x, index, axis=along))
    out = np.empty((*x.shape[:along], len(index), *x.shape[along + 1 :]), x.dtype)
    before = (slice(None),) * along
    for number, (start, run) in enumerate(runs):
        end = runs[number + 1][0] if number + 1 < len(runs) else len(index)
        out[(*before, slice(start, end))] = x[(*before, run)]
    return out
