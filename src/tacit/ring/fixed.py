"""Real numbers as ring elements at an exact rational scale, and back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tacit.errors import InvalidInput
from tacit.ring import tensor
from tacit.ring.native import Words

__all__ = ["decode", "encode"]


def encode(values: ArrayLike, scale: Fraction | int, bits: int = 64) -> Words:
    """round(values * scale) mod 2^bits, exact, with halves to even; of the same shape.

    Raises:
        InvalidInput: a value is NaN or infinite, or lies outside [-2^(bits-1), 2^(bits-1)) once scaled; the scale is
            not positive; the values are not real numbers.
    """
    tensor.modulus_mask(bits)
    number, power = _split(scale)
    array = _as_floats(values)
    if not np.isfinite(array).all():
        raise InvalidInput(
            f"the value at index {_first(~np.isfinite(array))} is not finite: encode finite numbers only"
        )
    if number == 1 and abs(power) < 512:
        # Multiplied by a power of two, a float64 stays exact, and rint rounds halves to even: nothing else is needed
        # unless a value is too large.
        with np.errstate(over="ignore", under="ignore"):
            rounded = np.rint(np.ldexp(array, power))
        if float(np.abs(rounded).max(initial=0.0)) < 2.0 ** (min(bits, 63) - 1):
            return tensor.mask(rounded.astype(np.int64).view(np.uint64).reshape(array.shape), bits)
    return _encode_exactly(array, scale, bits)


def _encode_exactly(array: NDArray[np.float64], scale: Fraction | int, bits: int) -> Words:
    """`encode` of finite values, in integers alone."""
    number, power = _split(scale)
    mantissa, exponent = _integers(array)
    largest = int(np.abs(mantissa).max(initial=0))
    if number.denominator == 1 and largest * number.numerator < 1 << 63:
        magnitude = np.abs(mantissa).view(np.uint64) * np.uint64(number.numerator)
        # A negative value may reach 2^(bits-1) itself.
        limit = np.uint64((1 << (bits - 1)) - 1) + (mantissa < 0).astype(np.uint64)
        rounded, fits = _round_shift(magnitude, exponent + power, limit)
        words = np.where(mantissa < 0, np.uint64(0) - rounded, rounded)
    else:
        exact = [round(Fraction(float(v)) * scale) for v in array.reshape(-1)]
        half = 1 << (bits - 1)
        fits = np.array([-half <= v < half for v in exact], dtype=bool).reshape(array.shape)
        words = np.array([v % (1 << 64) for v in exact], dtype=np.uint64).reshape(array.shape)
    if not fits.all():
        raise InvalidInput(
            f"the value at index {_first(~fits)} does not fit {bits} bits at scale {scale}: "
            "use a wider ring, a smaller scale or smaller values"
        )
    return tensor.mask(words, bits)


def decode(words: Words, scale: Fraction | int, bits: int = 64) -> NDArray[np.float64]:
    """The signed value of each element mod 2^bits, over scale, to the nearest float64; of the same shape.

    Raises:
        InvalidInput: the scale is not positive.
    """
    number, power = _split(scale)
    signed = tensor.centered(words, bits)
    flat = signed.reshape(-1)
    top, bottom = number.denominator, number.numerator
    if max(top, bottom) < 1 << 53 and abs(power) < 512:
        # Both factors are exact as float64, so the division alone rounds, and the power of two never does.
        reach = np.int64((1 << 53) // top)
        quick = (flat >= -reach) & (flat <= reach)
        out = np.ldexp(flat * float(top) / float(bottom), -power)
    else:
        quick, out = np.zeros(flat.shape, dtype=bool), np.zeros(flat.shape)
    ratio = Fraction(scale)
    out[~quick] = [int(v) * ratio.denominator / ratio.numerator for v in flat[~quick]]
    return np.asarray(out, dtype=np.float64).reshape(signed.shape)


def _split(scale: Fraction | int) -> tuple[Fraction, int]:
    """The scale as (ratio of odd numbers) * 2^power."""
    ratio = Fraction(scale)
    if ratio <= 0:
        raise InvalidInput(f"a scale must be positive, and {scale} is not")
    top, bottom = ratio.numerator, ratio.denominator
    up, down = (top & -top).bit_length() - 1, (bottom & -bottom).bit_length() - 1
    return Fraction(top >> up, bottom >> down), up - down


def _as_floats(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind in "iu" and array.size and max(abs(int(array.max())), abs(int(array.min()))) > 1 << 53:
        raise InvalidInput("integers beyond 2^53 are not exact as float64: pass smaller ones")
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise InvalidInput(f"values of dtype {array.dtype} cannot be encoded: pass real numbers of at most 64 bits")
    return array.astype(np.float64)


def _integers(array: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Odd (or zero) mantissas and exponents with array = mantissa * 2^exponent."""
    fraction, exponent = np.frexp(array)
    mantissa = np.ldexp(fraction, 53).astype(np.int64)
    lowest = mantissa & -mantissa
    zeros = np.frexp(np.where(lowest == 0, 1, lowest).astype(np.float64))[1] - 1
    return np.asarray(mantissa >> zeros), np.asarray(exponent.astype(np.int64) - 53 + zeros)


def _round_shift(magnitude: Words, shift: NDArray[np.int64], limit: Words) -> tuple[Words, NDArray[np.bool_]]:
    """round(magnitude * 2^shift), halves to even, for magnitudes below 2^63; and whether it is at most `limit`."""
    one = np.uint64(1)
    left = np.clip(shift, 0, 63).astype(np.uint64)
    right = np.clip(-shift, 0, 63).astype(np.uint64)
    floor = magnitude >> right
    rest = magnitude - (floor << right)
    # Twice the rest against the whole, since half of a whole of one is not an integer.
    whole = one << right
    up = (rest > whole - rest) | ((rest == whole - rest) & (floor & one == one))
    rounded = np.where(shift < -63, np.uint64(0), floor + up.astype(np.uint64))
    fits = (magnitude == 0) | ((shift <= 63) & (rounded <= limit >> left))
    return np.asarray(rounded << left, dtype=np.uint64), np.asarray(fits)


def _first(where: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])
