"""Indices that a client looks up by itself: whole numbers become rows of zeros and a one; a table is linear in them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from tacit.errors import InvalidInput
from tacit.ir.source import Constant, OneHot, Step, Unsupported, Value

__all__ = ["MOST_CLASSES", "MOST_WORDS", "check_classes", "embedded", "from_indices", "lifted"]

#: Rows of a table, and words of an input, up to which indices are sent as rows of zeros and ones.
MOST_CLASSES, MOST_WORDS = 1 << 16, 1 << 22

_ADVICE = "Embed on the client: give it the table, and let the model begin with the embedded rows."


def from_indices(x: Any, shape: tuple[int, ...]) -> Any:
    """An array of whole numbers that has one axis fewer than an input of `shape` as rows of zeros and a one.

    Anything else comes back as it is. The number of examples is free. Raises InvalidInput for numbers that are no index
    of the last axis.
    """
    array = x if isinstance(x, np.ndarray) else x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)
    if array.dtype.kind not in "iu" or array.ndim != len(shape) - 1 or array.shape[1:] != shape[1:-1] or not array.ndim:
        return x
    if array.size and not 0 <= array.min() <= array.max() < shape[-1]:
        raise InvalidInput(f"an input holds indices that the model does not know; it knows 0 to {shape[-1] - 1}")
    rows = np.zeros((*array.shape, shape[-1]))
    np.put_along_axis(rows, array[..., None].astype(np.int64), 1.0, -1)
    return rows


def check_classes(shape: tuple[int, ...], classes: int) -> None:
    """Raises Unsupported when rows for indices of `shape` would be too many numbers."""
    if classes > MOST_CLASSES or prod(shape) * classes > MOST_WORDS:
        what = f"a private index into a table of {classes} rows, {prod(shape)} times"
        raise Unsupported("not yet", f"{what}: a private index is refused where it costs so much", _ADVICE)


def lifted(tree: Value | Step, index: OneHot, done: dict[int, Step] | None = None) -> Value | Step:
    """What moves indices about, done to their rows. Raises Unsupported for arithmetic with indices."""
    if isinstance(tree, Value):
        return Value(index.id, (*index.shape, index.classes))
    done = {} if done is None else done
    if id(tree) not in done:
        inputs = tuple(lifted(x, index, done) for x in tree.inputs)
        done[id(tree)] = Step(tree.op, inputs, _lifted_attrs(tree, index.classes))
    return done[id(tree)]


def _lifted_attrs(step: Step, classes: int) -> Mapping[str, Any]:
    attrs = dict(step.attrs)
    if step.op in ("take", "concat"):
        return attrs
    if step.op in ("reshape", "expand"):
        return {"shape": [*attrs["shape"], classes]}  # type: ignore[misc]
    if step.op == "permute":
        order = attrs["order"]
        assert isinstance(order, list)
        return {"order": [*order, len(order)]}
    raise Unsupported("not yet", "arithmetic with an index", "Use it for look-ups alone, or give numbers as floats.")


def embedded(index: OneHot, table: Constant) -> Step:
    """The rows of a table: the product with it, padded by zeros to the number of classes."""
    rows = table.array
    missing = index.classes - len(rows)
    weight = np.concatenate([rows, np.zeros((missing, rows.shape[1]), rows.dtype)]) if missing else rows
    named = Constant(np.ascontiguousarray(weight.T), table.name and f"{table.name}.{index.classes}", table.trained)
    return Step("linear", (Value(index.id, (*index.shape, index.classes)),), {}, {"weight": named})
