"""Products of the server's integer tensor with a part of a share: linear, convolution, per-channel; in words
mod 2^64, or mod 2^32 where the tensor is of uint32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tacit.ring import native
from tacit.ring.native import Tensor
from tacit.secure.share import Words

__all__ = ["BILINEAR", "along", "apply", "bias_axis", "macs", "out_shape"]

BILINEAR = ("linear", "conv", "affine")


def _conv_out(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def out_shape(op: str, attrs: Mapping[str, Any], x: tuple[int, ...], w: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the product of an input of shape `x` with a tensor of shape `w`."""
    if op == "linear":
        return (*x[:-1], w[0])
    if op == "conv":
        size = (
            _conv_out(x[2 + i], w[2 + i], attrs["stride"][i], attrs["padding"][i], attrs["dilation"][i])
            for i in range(2)
        )
        return (x[0], w[0], *size)
    return x


def macs(op: str, x: tuple[int, ...], w: tuple[int, ...], out: tuple[int, ...]) -> int:
    """Multiply-accumulates of the product."""
    if op == "affine":
        return math.prod(out)
    return math.prod(out) * math.prod(w[1:])


def along(values: Tensor, axis: int, rank: int) -> Tensor:
    """A per-channel vector shaped so that it broadcasts along `axis` of an array of `rank` axes."""
    return values.reshape([-1 if i == axis else 1 for i in range(rank)])


def bias_axis(op: str, attrs: Mapping[str, Any], rank: int) -> int:
    """The axis of the result that the server's bias runs along."""
    if op == "affine":
        return int(attrs["axis"])
    return rank - 1 if op == "linear" else 1


def apply(
    op: str, attrs: Mapping[str, Any], x: Words, w: Tensor, init: Words | None = None, *, threads: int = 1
) -> Words:
    """w · x + init, mod 2^64, or mod 2^32 for a `w` of uint32.

    `w` is [O, I], [O, C/groups, KH, KW] or [C]; `init` has the shape of the result.
    """
    if op == "linear":
        flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        start = None if init is None else np.ascontiguousarray(init).reshape(-1, w.shape[0])
        return native.linear(flat, w, start, threads=threads).reshape(*x.shape[:-1], w.shape[0])
    if op == "conv":
        stride, padding, dilation = (tuple(attrs[k]) for k in ("stride", "padding", "dilation"))
        return native.conv2d(
            x, w, init, stride=stride, padding=padding, dilation=dilation, groups=int(attrs["groups"]), threads=threads
        )
    product = x * along(w, int(attrs["axis"]), x.ndim)
    return product if init is None else native.add(product, init, threads=threads)
