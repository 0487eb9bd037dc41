"""Shapes and textures of the procedural set, as functions of coordinates in the object's frame.

Only operations that IEEE 754 rounds exactly are used (sums, products, quotients, square roots, floors), each an array
operation of its own: the values are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPES", "TEXTURES", "clip01", "triangle_wave"]

Floats = NDArray[np.float32]
_SLOPE = np.float32(0.8660254)  # the height of an equilateral triangle of side 1
_SHARPNESS = np.float32(3)


def clip01(x: Floats) -> Floats:
    """x, brought into [0, 1]."""
    return np.clip(x, np.float32(0), np.float32(1))


def triangle_wave(x: Floats) -> Floats:
    """1 at whole numbers and 0 halfway between, linear between them."""
    return np.abs(np.float32(2) * (x - np.floor(x)) - np.float32(1))


def _edge(x: Floats) -> Floats:
    """A wave in [0, 1] made steeper, so that it is two colours with a short passage."""
    return clip01((x - np.float32(0.5)) * _SHARPNESS + np.float32(0.5))


def _radius(u: Floats, v: Floats) -> Floats:
    return np.sqrt(u * u + v * v)


def _larger(u: Floats, v: Floats) -> Floats:
    return np.maximum(np.abs(u), np.abs(v))


def _disc(u: Floats, v: Floats) -> Floats:
    return np.float32(0.95) - _radius(u, v)


def _ring(u: Floats, v: Floats) -> Floats:
    radius = _radius(u, v)
    return np.minimum(np.float32(1) - radius, radius - np.float32(0.5))


def _square(u: Floats, v: Floats) -> Floats:
    return np.float32(0.85) - _larger(u, v)


def _frame(u: Floats, v: Floats) -> Floats:
    larger = _larger(u, v)
    return np.minimum(np.float32(0.95) - larger, larger - np.float32(0.5))


def _triangle(u: Floats, v: Floats) -> Floats:
    half = np.float32(0.5) * v
    return np.float32(0.55) + np.minimum(v, np.minimum(_SLOPE * u - half, -_SLOPE * u - half))


def _cross(u: Floats, v: Floats) -> Floats:
    arms = np.maximum(np.float32(0.3) - np.abs(u), np.float32(0.3) - np.abs(v))
    return np.minimum(arms, np.float32(1) - _larger(u, v))


def _bar(u: Floats, v: Floats) -> Floats:
    return np.minimum(np.float32(0.35) - np.abs(u), np.float32(1.05) - np.abs(v))


def _half_disc(u: Floats, v: Floats) -> Floats:
    lowered = v - np.float32(0.4)
    return np.minimum(np.float32(1) - _radius(u, lowered), -lowered)


def _crescent(u: Floats, v: Floats) -> Floats:
    return np.minimum(np.float32(1) - _radius(u, v), _radius(u - np.float32(0.55), v) - np.float32(0.7))


def _pair(u: Floats, v: Floats) -> Floats:
    apart = np.float32(0.58)
    return np.float32(0.46) - np.minimum(_radius(u, v - apart), _radius(u, v + apart))


def _plain(u: Floats, v: Floats) -> Floats:
    return np.zeros_like(u)


def _stripes(u: Floats, v: Floats) -> Floats:
    return _edge(triangle_wave(u))


def _checks(u: Floats, v: Floats) -> Floats:
    half = np.float32(0.5)
    return clip01((triangle_wave(u) - half) * (triangle_wave(v) - half) * np.float32(12) + half)


def _dots(u: Floats, v: Floats) -> Floats:
    return _edge(triangle_wave(u) * triangle_wave(v) * np.float32(1.6))


def _circles(u: Floats, v: Floats) -> Floats:
    return _edge(triangle_wave(_radius(u, v)))


def _glow(u: Floats, v: Floats) -> Floats:
    return clip01(_radius(u, v) * np.float32(0.8))


def _ramp(u: Floats, v: Floats) -> Floats:
    return clip01(v * np.float32(0.45) + np.float32(0.5))


def _zigzag(u: Floats, v: Floats) -> Floats:
    return _edge(triangle_wave(u + triangle_wave(v)))


def _patches(u: Floats, v: Floats) -> Floats:
    first = triangle_wave(np.float32(0.8) * u + np.float32(0.6) * v)
    second = triangle_wave(np.float32(0.67) * u - np.float32(0.9) * v)
    third = triangle_wave(np.float32(0.31) * u + np.float32(0.53) * v)
    return _edge((first + second + third) * np.float32(1 / 3))


def _grid(u: Floats, v: Floats) -> Floats:
    return _edge(np.maximum(triangle_wave(u), triangle_wave(v)) - np.float32(0.2))


#: By class: how far inside a point is (negative outside), in units of the object's radius, for coordinates (u, v).
SHAPES: tuple[Callable[[Floats, Floats], Floats], ...] = (
    *(_disc, _ring, _square, _frame, _triangle),
    *(_cross, _bar, _half_disc, _crescent, _pair),
)
#: By number: the share of the second colour, 0 ... 1, at coordinates (u, v) in units of the texture's period.
TEXTURES: tuple[Callable[[Floats, Floats], Floats], ...] = (
    *(_plain, _stripes, _checks, _dots, _circles),
    *(_glow, _ramp, _zigzag, _patches, _grid),
)
