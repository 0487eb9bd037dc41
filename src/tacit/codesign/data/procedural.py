"""The procedural sets: textured shapes under nuisance variation, made from a seed, the same on every machine.

Ten classes are ten shapes of whatever texture; a hundred are every shape with every texture. Position, size, rotation,
colours, background, small objects behind, a bar in front, lighting and noise vary and say nothing about the class.
Scenes do not depend on the number of pixels: 16 x 16 is a coarser view of 32 x 32. Draws are AES-CTR under a public
key, since generators of NumPy and PyTorch change with their versions; image i depends on the seed and i only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tacit.codesign.data.sets import Images
from tacit.codesign.data.shapes import SHAPES, TEXTURES, clip01, triangle_wave
from tacit.errors import InvalidInput
from tacit.ring.prg import SEED_BYTES, Seed

__all__ = ["SIZE", "TEST", "TRAIN", "procedural", "render"]

SIZE, TRAIN, TEST = 32, 50_000, 10_000
Floats = NDArray[np.float32]
Codes = NDArray[np.int64]
_SCENE, _NOISE = 1, 2  # domains of the seed
_CHUNK = 128  # images made at a time: their planes stay in the cache
_DRAWS = 64  # words of each image's scene
_PAIR_SPREAD = np.float32(104.1)  # the deviation of a sum of two bytes


class _Plane(NamedTuple):
    """Coordinates in [-1, 1] of every pixel's middle, (1, size, size) each, and a pixel's side."""

    x: Floats
    y: Floats
    pixel: np.float32


@dataclass(frozen=True)
class _Nuisance:
    """How much an object varies: the tangent of half its largest rotation, how far it lies from the middle, its radius,
    how often a bar is in front, and the noise's deviation; positions and lengths as parts of half a side."""

    tilt: float
    shift: float
    radius: tuple[float, float]
    barred: float
    noise: tuple[float, float]


#: By number of classes: with a hundred, each is seen a tenth as often, and two things have to be told apart.
_NUISANCE = {
    10: _Nuisance(0.4, 0.3, (0.5, 0.75), 0.25, (0.01, 0.05)),
    100: _Nuisance(0.15, 0.15, (0.65, 0.85), 0.05, (0.005, 0.02)),
}


@dataclass
class _Draws:
    """Uniform numbers of n scenes, taken in order: `words` of (n, _DRAWS)."""

    words: NDArray[np.uint64]
    taken: int = 0

    def integers(self, count: int) -> Codes:
        """Uniform in 0 ... 2^24 - 1, of (n, count)."""
        words = self.words[:, self.taken : self.taken + count]
        assert words.shape[1] == count, "a scene draws more words than it has"
        self.taken += count
        return (words >> np.uint64(40)).astype(np.int64)

    def unit(self, *shape: int) -> Floats:
        """Uniform in [0, 1), of (n, *shape, 1, 1), multiples of 2^-24."""
        integers = self.integers(math.prod(shape)).reshape(-1, *shape, 1, 1)
        return integers.astype(np.float32) * np.float32(2.0**-24)

    def between(self, low: float, high: float, *shape: int) -> Floats:
        """Uniform in [low, high), of (n, *shape, 1, 1)."""
        return np.float32(low) + self.unit(*shape) * np.float32(high - low)

    def sign(self, *shape: int) -> Floats:
        """-1 or 1, of (n, *shape, 1, 1)."""
        return (self.unit(*shape) < np.float32(0.5)).astype(np.float32) * np.float32(-2) + np.float32(1)

    def code(self, count: int) -> Codes:
        """One of 0 ... count - 1 for each scene, (n,)."""
        return self.integers(1)[:, 0] * count >> 24

    def direction(self) -> tuple[Floats, Floats]:
        """A cosine and a sine, (n, 1, 1) each, of an angle all around."""
        cosine, sine = self.tilt(1.0)
        sign = self.sign()
        return cosine * sign, sine * sign

    def tilt(self, largest: float) -> tuple[Floats, Floats]:
        """A cosine and a sine, (n, 1, 1) each, of an angle whose half has a tangent up to `largest`, by the rational
        parametrisation of the circle: up to 44 degrees to each side for 0.4."""
        t = self.between(-largest, largest)
        scale = np.float32(1) / (np.float32(1) + t * t)
        return (np.float32(1) - t * t) * scale, np.float32(2) * t * scale

    def away(self, colour: Floats, low: float, high: float) -> Floats:
        """A colour whose channels differ from `colour`'s by `low` ... `high`, reflected at 0 and 1."""
        return _reflected(colour + self.sign(3) * self.between(low, high, 3))


def procedural(classes: int, size: int, train: int, test: int, seed: int) -> tuple[Images, Images]:
    """The training and the test split of 10 or 100 classes: (3, size, size) each, classes in equal numbers.

    Raises:
        InvalidInput: a number is out of its range.
    """
    if not 8 <= size <= 512:
        raise InvalidInput(f"procedural images have 8 ... 512 pixels a side, and not {size}")
    if not 0 <= seed < 1 << 64:
        raise InvalidInput(f"the seed of a procedural set is in 0 ... 2^64 - 1, and not {seed}")
    made = (render(classes, size, count, seed, split) for split, count in enumerate((train, test)))
    first, second = (Images(torch.from_numpy(pixels), torch.from_numpy(labels), classes) for pixels, labels in made)
    return first, second


def render(
    classes: int, size: int, count: int, seed: int, split: int, first: int = 0
) -> tuple[NDArray[np.uint8], Codes]:
    """Images first ... first + count - 1 of a split, uint8 of (count, 3, size, size), and their labels, (count,)."""
    source = Seed(seed.to_bytes(SEED_BYTES, "little"))
    pixels = np.empty((count, 3, size, size), np.uint8)
    labels = np.arange(first, first + count, dtype=np.int64) % classes
    for start in range(0, count, _CHUNK):
        part = labels[start : start + _CHUNK]
        words = source.words(_SCENE, split, len(part) * _DRAWS, (first + start) * _DRAWS).reshape(len(part), _DRAWS)
        scene, noise = _scene(_Draws(words), part, classes, size)
        light = scene + noise * _noise(source, split, first + start, len(part), size)
        pixels[start : start + _CHUNK] = (clip01(light) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return pixels, labels


def _scene(draws: _Draws, labels: Codes, classes: int, size: int) -> tuple[Floats, Floats]:
    """Light of (n, 3, size, size) before noise, and the noise's deviation, (n, 1, 1, 1)."""
    steps = (np.arange(1, 2 * size, 2, dtype=np.float32) / np.float32(size) - np.float32(1)).astype(np.float32)
    x, y = np.broadcast_arrays(steps[None, None, :], steps[None, :, None])
    plane, nuisance = _Plane(x, y, np.float32(2 / size)), _NUISANCE[classes]
    shape, texture = (labels, draws.code(len(TEXTURES))) if classes == len(SHAPES) else divmod(labels, len(TEXTURES))
    colour, second, behind = draws.between(0.6, 1, 3), draws.between(0.2, 0.65, 3), draws.between(0, 0.45, 3)
    canvas = _mixed(behind, draws.away(behind, 0.02, 0.15), _background(draws, plane))
    for _ in range(2):
        canvas = _mixed(canvas, draws.unit(3), _spot(draws, plane))
    inside, paint = _object(draws, plane, nuisance, shape, texture)
    canvas = _mixed(canvas, _mixed(colour, second, paint), inside)
    canvas = _mixed(canvas, draws.unit(3), _bar_in_front(draws, plane, nuisance.barred))
    cosine, sine = draws.direction()
    slope = draws.between(0, 0.35) * (cosine * x + sine * y)
    canvas = canvas * (draws.between(0.65, 1.15) + slope)[:, None]
    return canvas, draws.between(*nuisance.noise)[:, None]


def _background(draws: _Draws, plane: _Plane) -> Floats:
    x, y, _ = plane
    cosine, sine = draws.direction()
    rate = draws.between(0.5, 2)
    u = (cosine * x + sine * y) * rate + draws.unit()
    v = (cosine * y - sine * x) * rate + draws.unit()
    return _chosen(TEXTURES, draws.code(len(TEXTURES)), u, v)


def _spot(draws: _Draws, plane: _Plane) -> Floats:
    u, v = plane.x - draws.between(-1, 1), plane.y - draws.between(-1, 1)
    return clip01((draws.between(0.08, 0.2) - np.sqrt(u * u + v * v)) / plane.pixel + np.float32(0.5))


def _object(draws: _Draws, plane: _Plane, nuisance: _Nuisance, shape: Codes, texture: Codes) -> tuple[Floats, Floats]:
    """How much of each pixel the object covers, and the share of its second colour there."""
    cosine, sine = draws.tilt(nuisance.tilt)
    radius, shift = draws.between(*nuisance.radius), nuisance.shift
    x, y = ((axis - draws.between(-shift, shift)) / radius for axis in (plane.x, plane.y))
    u, v = cosine * x + sine * y, cosine * y - sine * x
    inside = clip01(_chosen(SHAPES, shape, u, v) * (radius / plane.pixel) + np.float32(0.5))
    rate = draws.between(1, 1.4)
    return inside, _chosen(TEXTURES, texture, u * rate, v * rate)


def _bar_in_front(draws: _Draws, plane: _Plane, often: float) -> Floats:
    cosine, sine = draws.direction()
    across = np.abs(cosine * plane.x + sine * plane.y - draws.between(-0.7, 0.7))
    there = (draws.unit() < np.float32(often)).astype(np.float32)
    return there * clip01((draws.between(0.06, 0.16) - across) / plane.pixel + np.float32(0.5))


def _chosen(functions: tuple[Callable[[Floats, Floats], Floats], ...], codes: Codes, u: Floats, v: Floats) -> Floats:
    """Function codes[i] at (u[i], v[i]), of u's shape."""
    found = np.empty_like(u)
    for code in np.unique(codes):
        where = codes == code
        found[where] = functions[code](u[where], v[where])
    return found


def _noise(source: Seed, split: int, first: int, count: int, size: int) -> Floats:
    """Noise of deviation 1 and a triangular density, (count, 3, size, size): sums of two bytes."""
    values = 3 * size * size
    words = -(-values // 4)  # of an image, so that it does not depend on the others
    drawn = source.words(_NOISE, split, count * words, first * words).astype("<u8", copy=False).view(np.uint8)
    pairs = drawn.reshape(count, 4 * words, 2)[:, :values].astype(np.int16)
    return ((pairs[..., 0] + pairs[..., 1] - 255).astype(np.float32) / _PAIR_SPREAD).reshape(count, 3, size, size)


def _mixed(first: Floats, second: Floats, share: Floats) -> Floats:
    """Colours of (n, 3, ...) mixed by the second's share, (n, H, W)."""
    return first + (second - first) * share[:, None]


def _reflected(x: Floats) -> Floats:
    """x brought into [0, 1] by reflection at its ends."""
    return np.float32(1) - triangle_wave(x * np.float32(0.5))
