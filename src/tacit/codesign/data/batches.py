"""Batches of a split in a given order, each read in a thread while the one before is used."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from tacit.codesign.data.sets import Split

__all__ = ["batches"]


def batches(
    split: Split, order: Tensor | Sequence[Tensor], size: int = 0
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Batches of images and labels: `size` examples each of `order`, (n,), fewer at the end; or `order` in parts.

    One batch is read ahead by a thread. Errors of reading are raised when their batch is due.
    """
    parts = order.split(size) if isinstance(order, Tensor) else order
    parts = [part for part in parts if len(part)]
    if not parts:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
        ahead = reader.submit(_read, split, parts[0])
        for following in (*parts[1:], None):
            ready = ahead.result()
            if following is not None:
                ahead = reader.submit(_read, split, following)
            yield ready


def _read(split: Split, part: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return split.batch(part)
