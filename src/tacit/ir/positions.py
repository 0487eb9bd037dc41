"""Fixed sets of positions of an array as attributes: a shape that broadcasts, and bits in hexadecimal digits."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ir.attrs import Attrs, integers
from tacit.ir.graph import Attr

__all__ = ["Bools", "check_positions", "positions", "write_positions"]

Bools = NDArray[np.bool_]


def write_positions(mask: Bools) -> dict[str, Attr]:
    """The attributes `mask` and `mask_shape` of a set of positions: true where they are, first bit highest."""
    return {"mask": np.packbits(mask.reshape(-1)).tobytes().hex(), "mask_shape": list(mask.shape)}


def positions(attrs: Attrs) -> Bools:
    """The set that the attributes name. Raises InvalidInput."""
    sizes, text = integers(attrs, "mask_shape", None, 1), attrs.get("mask")
    count = prod(sizes)
    if not isinstance(text, str) or len(text) != 2 * -(-count // 8):
        raise InvalidInput(f"a mask of shape {sizes} has two hexadecimal digits for every eight positions")
    try:
        packed = np.frombuffer(bytes.fromhex(text), np.uint8)
    except ValueError:
        raise InvalidInput("a mask is written in hexadecimal digits") from None
    bits = np.unpackbits(packed)
    if len(bits) < count or bits[count:].any():
        raise InvalidInput(f"a mask of shape {sizes} has other bits than its {count}")
    return bits[:count].astype(np.bool_).reshape(sizes)


def check_positions(attrs: Attrs, x: tuple[int, ...]) -> None:
    """InvalidInput unless the attributes name a set that broadcasts to an array of shape x."""
    sizes = positions(attrs).shape
    try:
        fits = np.broadcast_shapes(x, sizes) == x
    except ValueError:
        fits = False
    if not fits:
        raise InvalidInput(f"a mask of shape {sizes} does not broadcast to {x}")
