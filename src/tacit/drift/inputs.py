"""Preprocessing assertions: how an input differs from what the reference pipeline fed, and what would put it right.

An assertion fires only when the inputs differ and its change explains the difference (ML-EXray, MLSys 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Assertion", "check_input"]

Array = NDArray[np.float64]

#: Differences below this part of the reference's spread are none.
_SAME = 1e-5
#: What a fitted gain and offset may leave over.
_FITTED = 1e-3
#: Interpolations of the same picture agree to this part of its spread, once blurred, and different pictures do not.
_ALIKE = 0.3


@dataclass(frozen=True)
class Assertion:
    """One way in which preprocessing went wrong.

    kind     "shape", "layout", "channel order", "orientation", "normalisation", "dtype", "resize" or "unknown"
    what     the difference
    fix      what to do
    """

    kind: str
    what: str
    fix: str

    def data(self) -> dict[str, str]:
        """JSON data: `kind`, `what`, `fix`."""
        return {"kind": self.kind, "what": self.what, "fix": self.fix}


def check_input(got: NDArray[Any], want: NDArray[Any]) -> list[Assertion]:
    """What explains the difference of a batch from the reference's, examples first; empty when there is none.

    Arrays of four axes are taken for pictures. Where two changes together explain it, both are told.
    """
    x, y = np.asarray(got, np.float64), np.asarray(want, np.float64)
    count = min(len(x), len(y))
    x, y = x[:count], y[:count]
    if x.shape == y.shape and _same(x, y):
        return []
    for told, changed in _changes(x, y):
        if changed.shape == y.shape and _same(changed, y):
            return told
    for told, changed in _changes(x, y):
        scale = _rescaled(changed, y) if changed.shape == y.shape else None
        if scale is not None:
            return [*told, scale]
    if x.shape != y.shape:
        return [_of_shape(x, y)]
    return [_of_depth(x, y) or _of_resize(x, y) or _unknown(x, y)]


def _same(x: Array, y: Array, close: float = _SAME) -> bool:
    spread = float(y.max() - y.min()) or 1.0
    return bool(np.abs(x - y).max(initial=0.0) <= close * spread)


def _changes(x: Array, y: Array) -> Iterator[tuple[list[Assertion], Array]]:
    """Every rearrangement tried, the simplest first, with what it says about the input."""
    yield [], x
    if x.ndim != 4:
        return
    for told, moved in _layouts(x, y):
        if told:
            yield told, moved
        if moved.shape != y.shape:
            continue
        for kind, turned in _orders(moved):
            yield [*told, kind], turned
        for kind, turned in _orientations(moved):
            yield [*told, kind], turned
            for other, both in _orders(turned):
                yield [*told, kind, other], both


def _layouts(x: Array, y: Array) -> Iterator[tuple[list[Assertion], Array]]:
    yield [], x
    first = "the channels come last (NHWC), the reference has them first (NCHW)"
    last = "the channels come first (NCHW), the reference has them last (NHWC)"
    yield [Assertion("layout", first, "transpose the input with (0, 3, 1, 2)")], x.transpose(0, 3, 1, 2)
    yield [Assertion("layout", last, "transpose the input with (0, 2, 3, 1)")], x.transpose(0, 2, 3, 1)


def _orders(x: Array) -> Iterator[tuple[Assertion, Array]]:
    channels = x.shape[1]
    if not 2 <= channels <= 4:
        return
    for order in permutations(range(channels)):
        if order != tuple(range(channels)):
            swapped = order == tuple(reversed(range(channels)))
            what = "the channels are reversed (RGB and BGR)" if swapped else f"the channels are in the order {order}"
            yield Assertion("channel order", what, f"index the channels with {list(order)}"), x[:, list(order)]


def _orientations(x: Array) -> Iterator[tuple[Assertion, Array]]:
    turns = {"a quarter turn": 1, "a half turn": 2, "three quarter turns": 3}
    for name, times in turns.items():
        told = Assertion("orientation", f"the pictures are rotated by {name}", f"numpy.rot90(x, {times}, (2, 3))")
        yield told, np.rot90(x, times, (2, 3))
    for name, axis in (("upside down", 2), ("mirrored", 3)):
        yield Assertion("orientation", f"the pictures are {name}", f"numpy.flip(x, {axis})"), np.flip(x, axis)
    told = Assertion("orientation", "rows and columns are exchanged", "numpy.swapaxes(x, 2, 3)")
    yield told, np.swapaxes(x, 2, 3)


def _rescaled(x: Array, y: Array) -> Assertion | None:
    """A gain and an offset, one for all values or one a channel, that make `x` the reference."""
    gain, offset = _line(x.reshape(1, -1), y.reshape(1, -1))
    if _same(x * gain + offset, y, _FITTED):
        return _normalised(f"x * {gain[0]:.6g} + {offset[0]:.6g}", float(gain[0]), float(offset[0]))
    if x.ndim < 3 or x.shape[1] > 16:
        return None
    rows = [np.moveaxis(a, 1, 0).reshape(a.shape[1], -1) for a in (x, y)]
    gain, offset = _line(*rows)
    along = (1, -1, *(1,) * (x.ndim - 2))
    if not _same(x * gain.reshape(along) + offset.reshape(along), y, _FITTED):
        return None
    pairs = ", ".join(f"x{c} * {g:.6g} + {o:.6g}" for c, (g, o) in enumerate(zip(gain, offset, strict=True)))
    return _normalised(pairs, float(gain.mean()), float(offset.mean()))


def _normalised(formula: str, gain: float, offset: float) -> Assertion:
    what = "the input has another mean and spread than the reference"
    for known, name in ((1 / 255, "the input is 0..255, the reference 0..1"), (255.0, "the input is 0..1, not 0..255")):
        if abs(gain / known - 1) < 1e-2 and abs(offset) < 1e-2 * max(1.0, known):
            what = name
    return Assertion("normalisation", what, f"the reference is {formula}")


def _line(x: Array, y: Array) -> tuple[Array, Array]:
    """The least-squares gain and offset of each row."""
    mx, my = x.mean(1, keepdims=True), y.mean(1, keepdims=True)
    spread = ((x - mx) ** 2).sum(1)
    gain = ((x - mx) * (y - my)).sum(1) / np.where(spread > 0, spread, 1.0)
    return gain, my[:, 0] - gain * mx[:, 0]


def _of_shape(x: Array, y: Array) -> Assertion:
    if x.ndim == y.ndim == 4 and x.shape[1] == y.shape[1]:
        sizes = f"{x.shape[2]}x{x.shape[3]} where the reference has {y.shape[2]}x{y.shape[3]}"
        return Assertion("resize", f"the pictures are {sizes}", "resize or crop as the reference does")
    return Assertion("shape", f"the input has shape {x.shape}, the reference {y.shape}", "reshape the input")


def _of_depth(x: Array, y: Array) -> Assertion | None:
    """The input is the reference in whole steps of a type with few values."""
    steps = np.diff(np.unique(x))
    spread = float(y.max() - y.min())
    step = float(steps.min()) if len(steps) else 0.0
    if not 1e-3 * spread < step or np.abs(x - y).max() > 1.01 * step:
        return None
    what = f"the input has only {len(steps) + 1} different values, {step:.3g} apart"
    return Assertion("dtype", what, "convert to float before scaling, and do not round")


def _of_resize(x: Array, y: Array) -> Assertion | None:
    if x.ndim != 4 or min(x.shape[2:]) < 8:
        return None
    high, wide = (size // 4 * 4 for size in x.shape[2:])

    def blurred(a: Array) -> Array:
        tiles = a[:, :, :high, :wide].reshape(*a.shape[:2], high // 4, 4, wide // 4, 4)
        return np.asarray(tiles.mean((3, 5)))

    spread = float(blurred(y).std()) or 1.0
    left = float(np.sqrt(((blurred(x) - blurred(y)) ** 2).mean()))
    if left > _ALIKE * spread:
        return None
    what = "the pictures agree in the large and differ in detail: another interpolation, crop or compression"
    return Assertion("resize", what, "use the reference's resize, with the same filter and antialiasing")


def _unknown(x: Array, y: Array) -> Assertion:
    worst = float(np.abs(x - y).max())
    what = f"the input differs from the reference by up to {worst:.3g}, in a way that no known change explains"
    return Assertion("unknown", what, "compare the two pipelines step by step")
