"""Padding as ONNX writes it: numbers of entries at both ends of each axis, or a rule that keeps sizes."""

from __future__ import annotations

from collections.abc import Sequence

from tacit.ir.source import Unsupported

__all__ = ["Ends", "onnx_padding", "same_padding", "spans", "spread"]

#: Entries put before and behind each axis.
Ends = tuple[list[int], list[int]]


def spread(values: int | Sequence[int], rank: int) -> list[int]:
    """One number for each axis; a single one stands for all."""
    listed = [values] if isinstance(values, int) else [int(v) for v in values]
    return listed * rank if len(listed) == 1 else listed


def spans(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """How many entries of an axis a window reaches over."""
    return [gap * (size - 1) + 1 for size, gap in zip(kernel, dilation, strict=True)]


def same_padding(sizes: Sequence[int], reach: Sequence[int], stride: Sequence[int], *, upper: bool) -> Ends:
    """What gives ceil(size / stride) windows that reach over `reach` entries; an odd one goes behind if `upper`."""
    total = [max(0, (-(-n // s) - 1) * s + r - n) for n, r, s in zip(sizes, reach, stride, strict=True)]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return (small, large) if upper else (large, small)


def onnx_padding(
    rule: str, pads: Sequence[int] | None, sizes: Sequence[int], reach: Sequence[int], stride: Sequence[int]
) -> Ends:
    """What a node's auto_pad (`rule`) and `pads` say. Raises Unsupported."""
    rank = len(sizes)
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        return same_padding(sizes, reach, stride, upper=rule == "SAME_UPPER")
    if rule not in ("NOTSET", "VALID"):
        raise Unsupported("never", f"padding by a rule {rule!r}", "Write the padding in `pads`.")
    listed = list(pads or ()) if rule == "NOTSET" else []
    if len(listed) not in (0, 2 * rank):
        raise Unsupported("never", f"{len(listed)} numbers of padding for {rank} axes", "Give two for every axis.")
    return (listed[:rank], listed[rank:]) if listed else ([0] * rank, [0] * rank)
