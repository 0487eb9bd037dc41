"""Look-ups in tables by an index that is an input of the model: the only calls that read such an index as a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tacit.ir.expr import Expr
from tacit.ir.onehot import embedded
from tacit.ir.source import Adapter, OneHot, Step, Unsupported, Value, needs_constant, structure

__all__ = ["LOOKUPS"]


def _index(x: Any) -> OneHot:
    if not isinstance(x, OneHot):
        raise Unsupported("not yet", "a look-up by a computed index", "Make the index an input of the model.")
    return x


def _embedding(
    table: Any, index: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Value | Step:
    return embedded(_index(index), needs_constant(table))


def _bag(
    table: Any, index: Any, offsets: Any, scale_grad_by_freq: bool = False, mode: int = 0, sparse: bool = False,
    weights: Any = None, include_last_offset: bool = False, padding_idx: int | None = None,
) -> Value | Step:  # fmt: skip
    """Sums (mode 0) or means (mode 1) of bags of one size."""
    rows, starts = _index(index), structure(offsets, "where bags begin").reshape(-1)
    starts = starts[:-1] if include_last_offset else starts
    size = rows.shape[0] // len(starts)
    if mode > 1 or weights is not None or padding_idx not in (None, -1) or len(rows.shape) != 1:
        raise Unsupported("not yet", "bags of embeddings with maxima, weights or padding", "Use sums or means.")
    if size * len(starts) != rows.shape[0] or np.any(starts != np.arange(len(starts)) * size):
        raise Unsupported("not yet", "bags of embeddings of different sizes", "Give all bags as many entries.")
    width = needs_constant(table).array.shape[1]
    entries = Expr(embedded(rows, needs_constant(table)), (rows.shape[0], width)).reshape(len(starts), size, width)
    mean = Expr(Step("mean", (entries.tree,), {"axes": [1], "keepdims": False}), (len(starts), width))
    return mean.times(1 if mode else size).tree


def _gather(table: Any, index: Any, *, axis: int = 0) -> Value | Step:
    if axis != 0 or needs_constant(table).array.ndim != 2:
        raise Unsupported("not yet", "a look-up along another axis than the first of a table", "Transpose the table.")
    return embedded(_index(index), needs_constant(table))


LOOKUPS: Mapping[str, Adapter] = {
    "aten.embedding.default": _embedding,
    "aten.embedding_bag.padding_idx": _bag,
    "aten.embedding_bag.default": _bag,
    "aten._embedding_bag.default": _bag,
    "Gather": _gather,
}
