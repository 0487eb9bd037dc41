"""Products of two arrays of ring elements: element by element with broadcasting, or as batches of matrices."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tacit.errors import InvalidInput
from tacit.ring import native
from tacit.ring.tensor import narrowed
from tacit.secure.share import Words

__all__ = ["PRODUCTS", "macs", "multiply", "out_shape"]

#: The operations whose operands are both secret.
PRODUCTS = ("mul", "matmul")

#: Below this many multiply-accumulates, threads cost more than they save.
_WORTH = 1 << 21

Shape = tuple[int, ...]


def out_shape(op: str, x: Shape, y: Shape) -> Shape:
    """The product's shape, for as many axes in both: sizes of 1 are repeated, in "matmul" ([*, M, K] by [*, K, N] gives
    [*, M, N]) those of the leading axes only. Raises InvalidInput when they do not fit.
    """
    leading = len(x) if op == "mul" else len(x) - 2
    fits = len(x) == len(y) and leading >= 0 and (op == "mul" or x[-1] == y[-2])
    if not fits or any(a != b and 1 not in (a, b) for a, b in zip(x[:leading], y[:leading], strict=True)):
        kind = "a product element by element" if op == "mul" else "a product of matrices"
        raise InvalidInput(f"{kind} cannot be made of arrays of shapes {x} and {y}")
    batch = tuple(max(a, b) for a, b in zip(x[:leading], y[:leading], strict=True))
    return batch if op == "mul" else (*batch, x[-2], y[-1])


def macs(op: str, x: Shape, y: Shape) -> int:
    """Multiply-accumulates of the product."""
    return math.prod(out_shape(op, x, y)) * (1 if op == "mul" else x[-1])


def multiply(op: str, a: Words, b: Words, ring: int, *, threads: int = 1) -> Words:
    """The product mod 2^ring, in words whose bits above it mean nothing. Raises InvalidInput if shapes do not fit."""
    shape = out_shape(op, a.shape, b.shape)
    if op == "mul":
        return np.ascontiguousarray(a * b)
    left = np.broadcast_to(a, (*shape[:-2], *a.shape[-2:])).reshape(-1, *a.shape[-2:])
    right = np.broadcast_to(b, (*shape[:-2], *b.shape[-2:])).reshape(-1, *b.shape[-2:])
    out = np.empty((len(left), *shape[-2:]), np.uint64)

    def fill(first: int, step: int, inner: int) -> None:
        for i in range(first, len(out), step):
            matrix = np.ascontiguousarray(left[i])
            out[i] = native.matmul(narrowed(matrix, ring), np.ascontiguousarray(right[i]), threads=inner)

    workers = min(threads, len(out)) if macs(op, a.shape, b.shape) >= _WORTH else 1
    if workers == 1:
        fill(0, 1, threads)
        return out.reshape(shape)
    with ThreadPoolExecutor(workers) as pool:  # the kernels release the interpreter lock: one thread a matrix
        list(pool.map(lambda first: fill(first, workers, 1), range(workers)))
    return out.reshape(shape)
