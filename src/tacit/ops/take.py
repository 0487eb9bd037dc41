"""take: entries of one axis by fixed positions, in any order and number: slices, parts, flips, copies and windows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput
from tacit.ir.attrs import NO_WEIGHTS, Attrs, Doubles, Shape, Shapes, Weights, axis, integers
from tacit.ir.expr import Expr
from tacit.ir.source import Constant, Step, Unsupported, Value, needs_value, structure, wrap_axis
from tacit.ring.tensor import taken
from tacit.secure import basis
from tacit.secure.session import Session
from tacit.secure.share import Share

__all__ = ["aten", "bound", "clear", "lower", "onnx", "shape"]

_MOST = 1 << 20


def shape(attrs: Attrs, x: Shape, *, weights: Shapes = NO_WEIGHTS) -> Shape:
    """The shape of x with as many entries along `axis` as there are positions. Raises InvalidInput."""
    along = axis(attrs, "axis", len(x))
    index = integers(attrs, "index")
    if not index or max(index) >= x[along]:
        raise InvalidInput(f"positions must be below {x[along]}, and there must be one at least")
    return (*x[:along], len(index), *x[along + 1 :])


def clear(attrs: Attrs, weights: Weights, x: Doubles) -> Doubles:
    """The entries."""
    return taken(x, axis(attrs, "axis", x.ndim), integers(attrs, "index"))


def lower(s: Session, x: Share) -> Share:
    """The same entries of each part."""
    attrs = s.step.attrs
    along, index = axis(attrs, "axis", len(x.wire.shape)), integers(attrs, "index")
    return basis.local(s, lambda part: taken(part, along, index), x, shape=shape(attrs, x.wire.shape))


def bound(attrs: Attrs, weights: Weights, x: float) -> float:
    """The input's bound."""
    return x


def _of(x: Any) -> Expr:
    return Expr.of(needs_value(x, "an array that parts are taken of"))


def _slice(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Value | Step:
    whole = _of(x)
    along = wrap_axis(dim, len(whole.shape))
    return whole.take(along, range(whole.shape[along])[slice(start, end, step)]).tree


def _select(x: Any, dim: int, index: int) -> Value | Step:
    whole = _of(x)
    along = wrap_axis(dim, len(whole.shape))
    return whole.select(along, wrap_axis(index, whole.shape[along])).tree


def _narrow(x: Any, dim: int, start: int, length: int) -> Value | Step:
    return _slice(x, dim, start, start + length)


def _parts(x: Any, dim: int, sizes: Sequence[int]) -> tuple[Value | Step, ...]:
    """Consecutive parts of the given sizes."""
    ends = [0, *np.cumsum(sizes, dtype=np.int64).tolist()]
    if ends[-1] != _of(x).shape[wrap_axis(dim, len(_of(x).shape))]:
        raise InvalidInput(f"parts of sizes {list(sizes)} are not the whole of an axis of {_of(x).shape}")
    return tuple(_slice(x, dim, start, end) for start, end in pairwise(ends))


def _split(x: Any, size: int, dim: int = 0) -> tuple[Value | Step, ...]:
    length = _of(x).shape[wrap_axis(dim, len(_of(x).shape))]
    return _parts(x, dim, [min(size, length - start) for start in range(0, length, size)])


def _split_with_sizes(x: Any, sizes: Sequence[int], dim: int = 0) -> tuple[Value | Step, ...]:
    return _parts(x, dim, sizes)


def _chunk(x: Any, chunks: int, dim: int = 0) -> tuple[Value | Step, ...]:
    length = _of(x).shape[wrap_axis(dim, len(_of(x).shape))]
    return _split(x, -(-length // chunks), dim)


def _unbind(x: Any, dim: int = 0) -> tuple[Value | Step, ...]:
    whole = _of(x)
    along = wrap_axis(dim, len(whole.shape))
    return tuple(whole.select(along, i).tree for i in range(whole.shape[along]))


def _positions(index: Any, size: int) -> NDArray[np.int64]:
    """A constant index, counted from the front. Raises Unsupported."""
    array = structure(index, "an index")
    if array.dtype.kind not in "iu" or (array.size and not -size <= array.min() <= array.max() < size):
        raise Unsupported("never", f"an index beyond an axis of {size}", "Correct the model.")
    return np.where(array < 0, array + size, array).astype(np.int64)


def _lookup(x: Any, index: Any, along: int) -> Value | Step:
    """x with the axis `along` replaced by the axes of the index."""
    whole = _of(x)
    along = wrap_axis(along, len(whole.shape))
    at = _positions(index, whole.shape[along])
    found = whole.take(along, at.reshape(-1).tolist())
    return found.reshape(*whole.shape[:along], *at.shape, *whole.shape[along + 1 :]).tree


def _index_select(x: Any, dim: int, index: Any) -> Value | Step:
    return _lookup(x, index, dim)


def _index(x: Any, indices: Sequence[Any]) -> Value | Step:
    """x[indices] with None for whole axes; the others must lie side by side."""
    whole = _of(x)
    given: list[NDArray[Any] | None] = []
    for index in indices:
        array = None if index is None else structure(index, "an index")
        given += [array] if array is None or array.dtype.kind != "b" else list(np.nonzero(array))
    axes = [a for a, array in enumerate(given) if array is not None]
    if not axes or axes != list(range(axes[0], axes[-1] + 1)):
        raise Unsupported("not yet", "an index of axes that do not lie side by side", "Index one axis at a time.")
    first, last = axes[0], axes[-1]
    sizes = whole.shape[first : last + 1]
    known = [array for array in given if array is not None]
    at = np.broadcast_arrays(*(_positions(Constant(i, trained=False), n) for i, n in zip(known, sizes, strict=True)))
    flat = np.ravel_multi_index(tuple(at), sizes)
    merged = whole.reshape(*whole.shape[:first], -1, *whole.shape[last + 1 :]).take(first, flat.reshape(-1).tolist())
    return merged.reshape(*whole.shape[:first], *flat.shape, *whole.shape[last + 1 :]).tree


def _gather(x: Any, dim: int, index: Any, sparse_grad: bool = False) -> Value | Step:
    """out[i][j][k] = x[i][index[i][j][k]][k] for dim 1."""
    whole = _of(x)
    along = wrap_axis(dim, len(whole.shape))
    at = _positions(index, whole.shape[along])
    grid = [at if a == along else entries for a, entries in enumerate(np.indices(at.shape))]
    flat = np.ravel_multi_index(tuple(grid), whole.shape)
    if flat.size > _MOST:
        raise Unsupported("not yet", f"an index of {flat.size} entries", "Take whole rows, by index_select.")
    return whole.reshape(-1).take(0, flat.reshape(-1).tolist()).reshape(*at.shape).tree


def _flip(x: Any, dims: Sequence[int]) -> Value | Step:
    whole = _of(x)
    for dim in dims:
        along = wrap_axis(dim, len(whole.shape))
        whole = whole.take(along, range(whole.shape[along])[::-1])
    return whole.tree


def _roll(x: Any, shifts: Sequence[int], dims: Sequence[int] = ()) -> Value | Step:
    whole = _of(x)
    shape, steps = whole.shape, [shifts] if isinstance(shifts, int) else list(shifts)
    axes = [dims] if isinstance(dims, int) else list(dims)
    whole, axes = (whole, axes) if axes else (whole.reshape(-1), [0])
    for shift, dim in zip(steps, axes, strict=True):
        along = wrap_axis(dim, len(whole.shape))
        whole = whole.take(along, np.roll(np.arange(whole.shape[along]), shift).tolist())
    return whole.reshape(*shape).tree


def _repeat(x: Any, repeats: Sequence[int]) -> Value | Step:
    """The whole array, several times along each axis; new axes come first."""
    whole = _of(x)
    counts = [1] * (len(whole.shape) - len(repeats)) + list(repeats)
    whole = whole.reshape(*(1,) * (len(counts) - len(whole.shape)), *whole.shape)
    for along, count in enumerate(counts):
        whole = whole.take(along, list(range(whole.shape[along])) * count)
    return whole.tree


def _repeat_each(x: Any, repeats: int, dim: int | None = None, output_size: Any = None) -> Value | Step:
    whole = _of(x) if dim is not None else _of(x).reshape(-1)
    along = wrap_axis(dim or 0, len(whole.shape))
    return whole.take(along, [i for i in range(whole.shape[along]) for _ in range(repeats)]).tree


def _diagonal(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value | Step:
    whole = _of(x)
    rank = len(whole.shape)
    first, second = wrap_axis(dim1, rank), wrap_axis(dim2, rank)
    rows, columns = whole.shape[first], whole.shape[second]
    flat = [r * columns + r + offset for r in range(rows) if 0 <= r + offset < columns]
    moved = whole.permute(*(a for a in range(rank) if a not in (first, second)), first, second)
    return moved.reshape(*moved.shape[:-2], -1).take(rank - 2, flat).tree


def _unfold(x: Any, dimension: int, size: int, step: int) -> Value | Step:
    """Windows along an axis, each along a new last one."""
    whole = _of(x)
    rank = len(whole.shape)
    along = wrap_axis(dimension, rank)
    starts = range(0, whole.shape[along] - size + 1, step)
    taken_ = whole.take(along, [start + i for start in starts for i in range(size)])
    split = taken_.reshape(*whole.shape[:along], len(starts), size, *whole.shape[along + 1 :])
    return split.permute(*(a for a in range(rank + 1) if a != along + 1), along + 1).tree


def _onnx_slice(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Value | Step:
    whole = _of(x)
    lists = [structure(given, "a slice").reshape(-1).tolist() for given in (starts, ends)]
    named = list(range(len(lists[0]))) if axes is None else structure(axes, "a slice").reshape(-1).tolist()
    by = [1] * len(named) if steps is None else structure(steps, "a slice").reshape(-1).tolist()
    for start, end, dim, step in zip(*lists, named, by, strict=True):
        along = wrap_axis(dim, len(whole.shape))
        size = whole.shape[along]
        # ONNX writes "to the beginning" of a backward slice as an end at or beyond -size - 1, Python as None.
        last = None if step < 0 and end < -size else end
        whole = whole.take(along, range(size)[slice(start, last, step)])
    return whole.tree


def _onnx_split(
    x: Any, split: Any = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int = 1
) -> tuple[Value | Step, ...]:
    if split is not None:
        return _parts(x, axis, structure(split, "the sizes of a split").reshape(-1).tolist())
    return _chunk(x, num_outputs or outputs, axis)


def _onnx_gather(x: Any, index: Any, *, axis: int = 0) -> Value | Step:
    return _lookup(x, index, axis)


def _onnx_gather_elements(x: Any, index: Any, *, axis: int = 0) -> Value | Step:
    return _gather(x, axis, index)


def _onnx_tile(x: Any, repeats: Any) -> Value | Step:
    return _repeat(x, structure(repeats, "a number of copies").reshape(-1).tolist())


aten = {
    "aten.slice.Tensor": _slice,
    "aten.select.int": _select,
    "aten.narrow.default": _narrow,
    "aten.split.Tensor": _split,
    "aten.split_with_sizes.default": _split_with_sizes,
    "aten.split.sizes": _split_with_sizes,
    "aten.chunk.default": _chunk,
    "aten.unbind.int": _unbind,
    "aten.index_select.default": _index_select,
    "aten.index.Tensor": _index,
    "aten._unsafe_index.Tensor": _index,
    "aten.gather.default": _gather,
    "aten.flip.default": _flip,
    "aten.roll.default": _roll,
    "aten.repeat.default": _repeat,
    "aten.tile.default": _repeat,
    "aten.repeat_interleave.self_int": _repeat_each,
    "aten.diagonal.default": _diagonal,
    "aten.unfold.default": _unfold,
}
onnx = {
    "Slice": _onnx_slice,
    "Split": _onnx_split,
    "Gather": _onnx_gather,
    "GatherElements": _onnx_gather_elements,
    "Tile": _onnx_tile,
}
