"""Weighted means along an axis as attributes: for every entry of the result some positions and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

from tacit.errors import InvalidInput
from tacit.ir.attrs import Attrs, integer
from tacit.ir.graph import Attr

__all__ = ["Rows", "adaptive_means", "read_taps", "window_means", "write_taps"]

#: For each entry of the result: positions and their weights.
Rows = Sequence[Sequence[tuple[int, Fraction]]]

#: Weights have a common denominator up to the first number, else they are rounded to that of the second.
_EXACT, _ROUNDED = 1 << 14, 1 << 12
_MOST_FACTOR = 1 << 20
#: Entries that the windows of one axis see.
_MOST_TAPS = 1 << 20


def write_taps(rows: Rows, axis: int) -> dict[str, Attr]:
    """The attributes `axis`, `index`, `factors` and `divisor`: index[t][o] and factors[t][o] / divisor are position and
    weight t of entry o. Weights without a small common denominator are rounded so that their sum stays as it is.
    """
    divisor = lcm(*(weight.denominator for row in rows for _, weight in row))
    divisor = divisor if divisor <= _EXACT else _ROUNDED
    longest = max(len(row) for row in rows)
    whole = [_whole([weight for _, weight in row], divisor) for row in rows]
    index: list[Attr] = [[row[min(t, len(row) - 1)][0] for row in rows] for t in range(longest)]
    factors: list[Attr] = [[row[t] if t < len(row) else 0 for row in whole] for t in range(longest)]
    return {"axis": axis, "index": index, "factors": factors, "divisor": divisor}


def _whole(weights: list[Fraction], divisor: int) -> list[int]:
    """Weights over `divisor` whose sum is that of the weights, rounded."""
    rounded = [round(weight * divisor) for weight in weights]
    largest = max(range(len(weights)), key=lambda t: weights[t])
    rounded[largest] += round(sum(weights) * divisor) - sum(rounded)
    return rounded


def read_taps(attrs: Attrs, size: int) -> tuple[list[list[int]], list[list[int]], int]:
    """Positions below `size`, factors and divisor. Raises InvalidInput."""
    index, factors = _lists(attrs, "index"), _lists(attrs, "factors")
    divisor = integer(attrs, "divisor", 1)
    if not index or not index[0] or [len(row) for row in index] != [len(index[0])] * len(factors):
        raise InvalidInput("weighted means need as many factors as positions, and the same number for every entry")
    if any(not 0 <= i < size for row in index for i in row):
        raise InvalidInput(f"a weighted mean reads positions beyond an axis of {size}")
    if divisor > _MOST_FACTOR or any(abs(f) > _MOST_FACTOR for row in factors for f in row):
        raise InvalidInput(f"the factors and the divisor of a weighted mean are up to {_MOST_FACTOR}")
    return index, factors, divisor


def _lists(attrs: Attrs, name: str) -> list[list[int]]:
    value = attrs.get(name)
    rows = value if isinstance(value, list) else []
    lists = [[i for i in row if type(i) is int] for row in rows if isinstance(row, list)]
    if [len(row) for row in rows if isinstance(row, list)] != [len(row) for row in lists] or len(lists) != len(rows):
        raise InvalidInput(f"attribute {name!r} must be a list of lists of whole numbers")
    return lists


def window_means(
    size: int, kernel: int, stride: int, padding: int, ceil: bool, counted: bool, divisor: int | None = None,
    *, after: int | None = None, dilation: int = 1,
) -> Rows:  # fmt: skip
    """The means of windows, as torch defines them: with `ceil` also of one that begins inside but ends beyond, divided
    by the entries within the padded axis if `counted`, else by those within the axis itself, or by `divisor`. There are
    `padding` entries before the axis and `after` behind it, as many where this is not given. Raises InvalidInput.
    """
    end = size + (padding if after is None else after)
    room = end + padding - dilation * (kernel - 1) - 1
    if room < 0 or kernel * (room // stride + 2) > _MOST_TAPS:
        raise InvalidInput(f"a window of {kernel} padded by {padding} does not fit an axis of {size}")
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1
    rows = []
    for start in (o * stride - padding for o in range(count)):
        seen = [i for i in range(start, start + dilation * kernel, dilation) if i < end]
        inside = [i for i in seen if 0 <= i < size]
        if not inside:
            raise InvalidInput(f"a window of {kernel} sees nothing but padding of an axis of {size}")
        weight = Fraction(1, divisor or (len(seen) if counted else len(inside)))
        rows.append([(i, weight) for i in inside])
    return rows


def adaptive_means(size: int, count: int) -> Rows:
    """The means of `count` windows that cover the axis and may overlap by one entry."""
    if count < 1:
        raise InvalidInput(f"an axis of {size} has no {count} windows")
    spans = [range(o * size // count, -(-(o + 1) * size // count)) for o in range(count)]
    return [[(i, Fraction(1, len(span))) for i in span] for span in spans]
